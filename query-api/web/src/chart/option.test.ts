import assert from "node:assert/strict";
import { test } from "vitest";
import { bucketWidth, axisDigits } from "./option.ts";

const series = (...values: (number | null)[]) => [{ name: "a", unit: null, slot: 0, points: values.map((value, timestamp) => ({ timestamp, value })) }];

test("axis of close values has enough digits to distinguish labels", () => {
  assert.equal(axisDigits(series(1_000_000, 1_000_004)), 7);
  assert.equal(axisDigits(series(100_234, null, 100_240)), 6);
});

test("axis of other values uses the default number of digits", () => {
  assert.equal(axisDigits(series(0, 12_345)), undefined);
  assert.equal(axisDigits(series(5, 5)), undefined);
  assert.equal(axisDigits(series(1_000_000, 1_000_004), 0), undefined);
  assert.equal(axisDigits(series(null)), undefined);
});

test("bucket width is the shortest distance between points", () => {
  const seriesAt = (...times: number[]) => [{ name: "a", unit: null, slot: 0, points: times.map((timestamp) => ({ timestamp, value: 1 })) }];
  const HOUR = 3_600_000;
  assert.equal(bucketWidth(seriesAt(0, HOUR, 3 * HOUR), 24 * HOUR), HOUR);
  assert.equal(bucketWidth([...seriesAt(0), ...seriesAt(HOUR)], 24 * HOUR), HOUR);
  assert.equal(bucketWidth(seriesAt(0), 24 * HOUR), HOUR);
  assert.equal(bucketWidth(seriesAt(0, 7 * 24 * HOUR), 30 * 24 * HOUR), 24 * HOUR);
});
