import assert from "node:assert/strict";
import { test } from "vitest";
import { recentPeriod, previewPeriod, rollingValues } from "./ruleSeries.ts";
import { WINDOWS } from "./labels.ts";

const HOUR = 3_600_000;
const hourly = (...values: number[]) => values.map((value, index) => ({ timestamp: index * HOUR, value, count: 1 }));
const rollingDay = (aggregation: string, ...values: number[]) => rollingValues(hourly(...values), aggregation, "24h", previewPeriod("24h")).map((point) => point.value);

test("sum over a day covers the 24 hours up to each bucket", () => {
  const sums = rollingDay("sum", ...Array.from({ length: 30 }, () => 2));
  assert.deepEqual([sums[0], sums[22], sums[23], sums[29]], [2, 46, 48, 48]);
});

test("windows contain only their own buckets and skip gaps", () => {
  const points = [0, 10, 30].map((hour) => ({ timestamp: hour * HOUR, value: hour + 1, count: 1 }));
  assert.deepEqual(rollingValues(points, "max", "24h", previewPeriod("24h")).map((point) => point.value), [1, 11, 31]);
  assert.deepEqual(rollingValues(points, "min", "24h", previewPeriod("24h")).map((point) => point.value), [1, 1, 11]);
});

test("aggregations that cannot be combined are unchanged", () => {
  assert.deepEqual(rollingDay("last", 3, 1, 2), [3, 1, 2]);
  assert.deepEqual(rollingDay("p90", 3, 1, 2), [3, 1, 2]);
});

test("shown period never exceeds the queried range", () => {
  const lengths = { "24h": 24, "7d": 168, "30d": 720, "90d": 2160 } as const;
  for (const [window] of WINDOWS) {
    for (const period of [recentPeriod(window), previewPeriod(window)]) {
      const queriedMs = lengths[period.range as keyof typeof lengths] * HOUR;
      assert.ok(period.shownMs <= queriedMs, window);
    }
  }
});
