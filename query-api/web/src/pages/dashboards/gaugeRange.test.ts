import assert from "node:assert/strict";
import { test } from "vitest";
import { gaugeRange } from "./gaugeRange.ts";

test("gauge ends at a round number beyond the values", () => {
  assert.deepEqual(gaugeRange("ms", [231, 120, null]), { low: 0, high: 250 });
  assert.deepEqual(gaugeRange(null, [1000]), { low: 0, high: 1000 });
  assert.deepEqual(gaugeRange(null, [-3, 7]), { low: -5, high: 10 });
  assert.deepEqual(gaugeRange(null, []), { low: 0, high: 1 });
});

test("percentages range from 0 to 100 unless a value is outside", () => {
  assert.deepEqual(gaugeRange("%", [42]), { low: 0, high: 100 });
  assert.deepEqual(gaugeRange("%", [142]), { low: 0, high: 200 });
});
