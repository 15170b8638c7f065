import assert from "node:assert/strict";
import { test } from "vitest";
import { describeCondition, firingPeriods } from "./labels.ts";

test("condition is described in a sentence", () => {
  assert.equal(describeCondition({ aggregation: "avg", operator: ">", threshold: 200, range: "1h" }, "ms"), "Average over the last hour is above 200 ms");
  assert.equal(describeCondition({ aggregation: "count", operator: "<", threshold: 1, range: "24h" }, "ms"), "Count over the last 24 hours is below 1");
});

test("period of a rule that still fires ends at the given time", () => {
  const transitions = [{ at: 1, to: "firing" }, { at: 3, to: "ok" }, { at: 5, to: "firing" }, { at: 6, to: "firing" }];
  assert.deepEqual(firingPeriods(transitions, 9), [{ start: 1, end: 3 }, { start: 5, end: 9 }]);
  assert.deepEqual(firingPeriods([{ at: 1, to: "no_data" }], 9), []);
});
