// What the matrix product refuses, and that tensors have it as a method.

import { test } from "uvu";
import { ShapeError } from "../../src/core/error.ts";
import { array } from "../../src/reference/array.ts";
import { zeros } from "../../src/tensor/create.ts";
import { matmul } from "../../src/tensor/matmul.ts";
import { scope } from "../../src/tensor/scope.ts";
import { fill } from "../support/arbitraries.ts";
import { expectClose } from "../support/compare.ts";
import { all, expectRefusal, tensorOf } from "./againstReference.ts";

test("the method of tensors is the function", () => {
  all[0]!.engine.run(() =>
    scope(() => {
      const [a, b] = [
        tensorOf(array([3, 4], fill([3, 4], 1))),
        tensorOf(array([4, 2], fill([4, 2], 2))),
      ];
      expectClose(a.matmul(b).toArray(), matmul(a, b).toArray(), 0);
    }),
  );
});

test("shapes that do not fit are refused, both of them named", () => {
  all[0]!.engine.run(() =>
    scope(() => {
      for (const [a, b, why] of [
        [[3, 4], [5, 3], "inner sizes 4 and 5"],
        [[2, 3, 4], [3, 4], "inner sizes 4 and 3"],
        [[4], [5, 3], "inner sizes 4 and 5"],
        [[5, 3], [5], "inner sizes 3 and 5"],
        [[4], [3], "inner sizes 4 and 3"],
        [[2, 3, 4], [3, 4, 5], "leading axes 2 and 3"],
        [[2, 3, 3, 4], [2, 4, 5], "leading axes 3 and 2"],
        [[0, 3, 4], [2, 4, 5], "leading axes 0 and 2"],
        [[], [4], "scalar"],
        [[4, 4], [], "scalar"],
      ] as const) {
        const refused = () => matmul(zeros(a), zeros(b));
        expectRefusal(refused, ShapeError, `[${a}]`, `[${b}]`, why);
      }
      const whole = zeros([4, 2], { dtype: "int32" });
      expectRefusal(() => matmul(zeros([3, 4]), whole), ShapeError, "int32 [4,2]", "[3,4]");
      expectRefusal(() => matmul(whole, zeros([2])), ShapeError, "int32 [4,2]", "[2]");
    }),
  );
});

test.after(() => {
  for (const { engine } of all) engine.shutdown();
});

test.run();
