import assert from "node:assert/strict";
import { test } from "vitest";
import { previousPeriod, rangeBounds, rangeFromParams, rangeToParams } from "./range.ts";

test("range survives a round trip through the URL", () => {
  const custom = { startDate: 1_790_000_000_000, endDate: 1_790_000_060_000 };
  for (const range of ["7d", custom] as const) {
    assert.deepEqual(rangeFromParams(rangeToParams(new URLSearchParams("edit=1&range=1h"), range)), range);
  }
  assert.equal(rangeToParams(new URLSearchParams("edit=1&range=1h"), undefined).toString(), "edit=1");
});

test("invalid URL parameters yield no range", () => {
  for (const text of ["", "range=2h", "from=2026-01-01", "from=2026-01-02&to=2026-01-01", "from=x&to=y"]) {
    assert.equal(rangeFromParams(new URLSearchParams(text)), undefined, text);
  }
});

test("previous period has the same length and ends at the start", () => {
  assert.deepEqual(previousPeriod(rangeBounds("1h", 7_200_000)), { start: 0, end: 3_600_000 });
});

test("preset ends at the next full minute", () => {
  assert.deepEqual(rangeBounds("1h", 7_200_000), { start: 3_600_000, end: 7_200_000 });
  assert.deepEqual(rangeBounds("1h", 7_200_001), { start: 3_660_000, end: 7_260_000 });
  assert.deepEqual(rangeBounds({ startDate: 5, endDate: 7 }, 1), { start: 5, end: 7 });
});
