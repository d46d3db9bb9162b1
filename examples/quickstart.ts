// The shortest program: the embedded model learns the bundled text with LoRA. Writes ./my-adapter.
//   node dist/examples/quickstart.js

import { AdamW, init, injectLora, loadModel, loadText, saveAdapter, scope } from "lowrank";

await init(); // once; picks SIMD, relaxed SIMD, threads
const model = await loadModel(); // the embedded model; or a Hugging Face directory, a URL, bytes by file name
const data = await loadText(model, { batchSize: 8, blockSize: 128, seed: 1 }); // the bundled text; or a path
const adapter = injectLora(model, { r: 8, loraAlpha: 16, targetModules: ["q_proj", "v_proj"] });
const optimizer = new AdamW(adapter.parameters(), { lr: 2e-3 });

for (const batch of data.batches(50)) {
  scope(() => {
    const loss = model.loss(batch);
    loss.backward();
    optimizer.step();
    optimizer.zeroGrad();
  });
}
await saveAdapter(adapter, "./my-adapter", { overwrite: true }); // PEFT's two files; replaces an earlier run's
adapter.merge(); // unmerge() restores the base bit for bit
