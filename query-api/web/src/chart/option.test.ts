import assert from "node:assert/strict";
import { test } from "vitest";
import { bucketOf, digitsOf } from "./option.ts";

const series = (...values: (number | null)[]) => [{ name: "a", unit: null, slot: 0, points: values.map((value, timestamp) => ({ timestamp, value })) }];

test("an axis of values that hardly differ has as many digits as tell its lines apart", () => {
  assert.equal(digitsOf(series(1_000_000, 1_000_004)), 7);
  assert.equal(digitsOf(series(100_234, null, 100_240)), 6);
});

test("any other axis has as few as usual", () => {
  assert.equal(digitsOf(series(0, 12_345)), undefined);
  assert.equal(digitsOf(series(5, 5)), undefined);
  assert.equal(digitsOf(series(1_000_000, 1_000_004), 0), undefined);
  assert.equal(digitsOf(series(null)), undefined);
});

test("bars have room at the ends for half a bucket, which one bar alone does not make a day", () => {
  const at = (...times: number[]) => [{ name: "a", unit: null, slot: 0, points: times.map((timestamp) => ({ timestamp, value: 1 })) }];
  const HOUR = 3_600_000;
  assert.equal(bucketOf(at(0, HOUR, 3 * HOUR), 24 * HOUR), HOUR);
  assert.equal(bucketOf([...at(0), ...at(HOUR)], 24 * HOUR), HOUR);
  assert.equal(bucketOf(at(0), 24 * HOUR), HOUR);
  assert.equal(bucketOf(at(0, 7 * 24 * HOUR), 30 * 24 * HOUR), 24 * HOUR);
});
