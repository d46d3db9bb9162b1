import { test } from "uvu";
import * as assert from "uvu/assert";
import { inWordsOf, optionName, speakIn } from "../../src/core/wording.ts";

const keys = (option: string): string | undefined =>
  option === "targetModules" ? "target_modules" : undefined;
const flags = (option: string): string => `--${option.toLowerCase()}`;

test("an option has its own name until somebody says otherwise, and afterwards again", () => {
  assert.is(optionName("targetModules"), "targetModules");
  assert.is(
    inWordsOf(keys, () => optionName("targetModules")),
    "target_modules",
  );
  assert.throws(() =>
    inWordsOf(keys, () => {
      throw new Error("x");
    }),
  );
  assert.is(optionName("targetModules"), "targetModules");
});

test("what an inner wording does not know has the outer one's name", () => {
  const fallSilent = speakIn(flags);
  assert.is(optionName("lr"), "--lr");
  inWordsOf(keys, () => {
    assert.is(optionName("targetModules"), "target_modules");
    assert.is(optionName("lr"), "--lr");
  });
  fallSilent();
  assert.is(optionName("lr"), "lr");
});

test.run();
