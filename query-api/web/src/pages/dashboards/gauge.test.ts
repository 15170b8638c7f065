import assert from "node:assert/strict";
import { test } from "vitest";
import { gaugeEnds } from "./gauge.ts";

test("a gauge ends at a round number above what was seen", () => {
  assert.deepEqual(gaugeEnds("ms", [231, 120, null]), { low: 0, high: 250 });
  assert.deepEqual(gaugeEnds(null, [1000]), { low: 0, high: 1000 });
  assert.deepEqual(gaugeEnds(null, [-3, 7]), { low: -5, high: 10 });
  assert.deepEqual(gaugeEnds(null, []), { low: 0, high: 1 });
});

test("percents are between 0 and 100, unless they are not", () => {
  assert.deepEqual(gaugeEnds("%", [42]), { low: 0, high: 100 });
  assert.deepEqual(gaugeEnds("%", [142]), { low: 0, high: 200 });
});
