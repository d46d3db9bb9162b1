// Two adapters over one base: each learns its own text, then they are switched, used together, merged and taken out.
// The base lies in memory once, and no switch changes a bit of it.
//   node dist/examples/swap-adapters.js

import {
  AdamW,
  type Adapter,
  baseParameters,
  type Dataset,
  disableAdapters,
  evaluate,
  init,
  injectLora,
  loadModel,
  loadText,
  scope,
  setActiveAdapters,
} from "lowrank";

const RECIPES = [
  "Take two eggs, a cup of flour and a cup of milk; beat them well and let them stand.\n",
  "Melt the butter in a pan. Pour in the batter, and turn it when the edge is brown.\n",
  "Chop one onion, add salt and oil, and stir it over a low fire until it is soft.\n",
];

await init();
const model = await loadModel();
const sizes = { batchSize: 4, blockSize: 64, seed: 1 };
const texts = {
  gospel: await loadText(model, sizes),
  recipes: await loadText(model, { ...sizes, text: RECIPES.join("").repeat(20) }),
};

function learn(name: string, data: Dataset): Adapter {
  // A new adapter is the active one; the others keep what they have learned.
  const adapter = injectLora(
    model,
    { r: 4, loraAlpha: 8, targetModules: "all-linear" },
    { adapterName: name },
  );
  const optimizer = new AdamW(adapter.parameters(), { lr: 5e-3 });
  for (const batch of data.batches(12)) {
    scope(() => {
      model.loss(batch).backward();
      optimizer.step();
      optimizer.zeroGrad();
    });
  }
  optimizer.dispose();
  return adapter;
}

/** Losses on the first held-out batches of both texts. */
function losses(): { gospel: number; recipes: number } {
  const loss = (data: Dataset) => evaluate(model, [...data.validationBatches()].slice(0, 2)).loss;
  return { gospel: loss(texts.gospel), recipes: loss(texts.recipes) };
}

function show(what: string): void {
  const { gospel, recipes } = losses();
  console.log(`${what.padEnd(18)} gospel ${gospel.toFixed(3)}   recipes ${recipes.toFixed(3)}`);
}

const gospel = learn("gospel", texts.gospel);
const recipes = learn("recipes", texts.recipes);

disableAdapters(model);
show("base");
gospel.activate();
show("gospel");
recipes.activate();
show("recipes");
setActiveAdapters(model, ["gospel", "recipes"]);
show("both, added up");

const before = [...baseParameters(model)].map(([, parameter]) => parameter.toArray());
gospel.activate();
gospel.merge();
show("gospel, merged");
gospel.unmerge();
const after = [...baseParameters(model)].map(([, parameter]) => parameter.toArray());
const isRestored = before.every((values, i) =>
  values.every((value, j) => Object.is(value, after[i]?.[j])),
);
console.log(`unmerged: ${isRestored ? "every bit of the base is back" : "the base has changed"}`);
