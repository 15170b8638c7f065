import assert from "node:assert/strict";
import { test } from "vitest";
import { total } from "./total.ts";

const buckets = [
  { timestamp: 0, value: 10, count: 1 },
  { timestamp: 1, value: null, count: 0 },
  { timestamp: 2, value: 4, count: 2 },
];

test("a range comes to what all its points come to", () => {
  for (const [aggregation, expected] of [["sum", 14], ["count", 14], ["min", 4], ["max", 10], ["avg", 6], ["last", 4], ["p99", 4]] as const) {
    assert.equal(total(buckets, aggregation), expected, aggregation);
  }
});

test("a range without points comes to nothing", () => {
  assert.equal(total([], "sum"), null);
  assert.equal(total([{ timestamp: 0, value: null, count: 0 }], "avg"), null);
});
