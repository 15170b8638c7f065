import assert from "node:assert/strict";
import { test } from "vitest";
import { conditionText, firingTimes } from "./words.ts";

test("a rule is told in words", () => {
  assert.equal(conditionText({ aggregation: "avg", operator: ">", threshold: 200, range: "1h" }, "ms"), "Average of the last hour is above 200 ms");
  assert.equal(conditionText({ aggregation: "count", operator: "<", threshold: 1, range: "24h" }, "ms"), "Number of points of the last 24 hours is below 1");
});

test("what still fires has fired until now", () => {
  const transitions = [{ at: 1, to: "firing" }, { at: 3, to: "ok" }, { at: 5, to: "firing" }, { at: 6, to: "firing" }];
  assert.deepEqual(firingTimes(transitions, 9), [{ start: 1, end: 3 }, { start: 5, end: 9 }]);
  assert.deepEqual(firingTimes([{ at: 1, to: "no_data" }], 9), []);
});
