import assert from "node:assert/strict";
import { test } from "vitest";
import { before, bounds, readRange, writeRange } from "./range.ts";

test("the address holds the range", () => {
  const own = { startDate: 1_790_000_000_000, endDate: 1_790_000_060_000 };
  for (const range of ["7d", own] as const) {
    assert.deepEqual(readRange(writeRange(new URLSearchParams("edit=1&range=1h"), range)), range);
  }
  assert.equal(writeRange(new URLSearchParams("edit=1&range=1h"), undefined).toString(), "edit=1");
});

test("an address with nonsense names no range", () => {
  for (const text of ["", "range=2h", "from=2026-01-01", "from=2026-01-02&to=2026-01-01", "from=x&to=y"]) {
    assert.equal(readRange(new URLSearchParams(text)), undefined, text);
  }
});

test("what was before is as long and ends where the range begins", () => {
  assert.deepEqual(before(bounds("1h", 7_200_000)), { start: 0, end: 3_600_000 });
});

test("a span ends with the minute that has begun", () => {
  assert.deepEqual(bounds("1h", 7_200_000), { start: 3_600_000, end: 7_200_000 });
  assert.deepEqual(bounds("1h", 7_200_001), { start: 3_660_000, end: 7_260_000 });
  assert.deepEqual(bounds({ startDate: 5, endDate: 7 }, 1), { start: 5, end: 7 });
});
