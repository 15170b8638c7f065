import assert from "node:assert/strict";
import { test } from "vitest";
import { lately, ofMonth, rolling } from "./course.ts";
import { WINDOWS } from "./words.ts";

const HOUR = 3_600_000;
const hourly = (...values: number[]) => values.map((value, index) => ({ timestamp: index * HOUR, value, count: 1 }));
const values = (aggregation: string, ...of: number[]) => rolling(hourly(...of), aggregation, "24h", ofMonth("24h")).map((point) => point.value);

test("a sum over a day is that of the 24 hours that end there", () => {
  const sums = values("sum", ...Array.from({ length: 30 }, () => 2));
  assert.deepEqual([sums[0], sums[22], sums[23], sums[29]], [2, 46, 48, 48]);
});

test("hours without points count for nothing, and no more than a window is looked at", () => {
  const points = [0, 10, 30].map((hour) => ({ timestamp: hour * HOUR, value: hour + 1, count: 1 }));
  assert.deepEqual(rolling(points, "max", "24h", ofMonth("24h")).map((point) => point.value), [1, 11, 31]);
  assert.deepEqual(rolling(points, "min", "24h", ofMonth("24h")).map((point) => point.value), [1, 1, 11]);
});

test("what cannot be put together is left as it is", () => {
  assert.deepEqual(values("last", 3, 1, 2), [3, 1, 2]);
  assert.deepEqual(values("p90", 3, 1, 2), [3, 1, 2]);
});

test("what is shown is never more than what was asked for, less a window", () => {
  const lengths = { "24h": 24, "7d": 168, "30d": 720, "90d": 2160 } as const;
  for (const [window] of WINDOWS) {
    for (const course of [lately(window), ofMonth(window)]) {
      const asked = lengths[course.range as keyof typeof lengths] * HOUR;
      assert.ok(course.shownMs <= asked, window);
    }
  }
});
