import assert from "node:assert/strict";
import { test } from "vitest";
import { outcomeSeries, totalsByOutcome } from "./outcomes.ts";

const items = [
  { timestamp: 2, outcome: "accepted", requests: 3, metrics: 30 },
  { timestamp: 1, outcome: "invalid_key", requests: 1, metrics: 0 },
  { timestamp: 2, outcome: "accepted", requests: 4, metrics: 4 },
  { timestamp: 1, outcome: "accepted", requests: 1, metrics: 1 },
];

test("requests are summed by outcome, most frequent first", () => {
  assert.deepEqual(totalsByOutcome(items), [
    { outcome: "accepted", requests: 8, metrics: 35 },
    { outcome: "invalid_key", requests: 1, metrics: 0 },
  ]);
});

test("connections of a bucket share one bar", () => {
  assert.deepEqual(outcomeSeries(items)[0]?.points, [
    { timestamp: 1, value: 1 },
    { timestamp: 2, value: 7 },
  ]);
});
