import assert from "node:assert/strict";
import { test } from "vitest";
import { aggregateBuckets } from "./aggregate.ts";

const buckets = [
  { timestamp: 0, value: 10, count: 1 },
  { timestamp: 1, value: null, count: 0 },
  { timestamp: 2, value: 4, count: 2 },
];

test("buckets are aggregated to one value per range", () => {
  for (const [aggregation, expected] of [["sum", 14], ["count", 14], ["min", 4], ["max", 10], ["avg", 6], ["last", 4], ["p99", 4]] as const) {
    assert.equal(aggregateBuckets(buckets, aggregation), expected, aggregation);
  }
});

test("range without points has no value", () => {
  assert.equal(aggregateBuckets([], "sum"), null);
  assert.equal(aggregateBuckets([{ timestamp: 0, value: null, count: 0 }], "avg"), null);
});
