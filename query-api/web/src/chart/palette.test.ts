import assert from "node:assert/strict";
import { test } from "vitest";
import { COLOURS, slots } from "./palette.ts";

test("a series keeps its colour wherever it is drawn", () => {
  assert.equal(slots(["daily_signups"])[0], slots(["daily_signups", "other"])[0]);
});

test("neighbours differ as long as there are colours", () => {
  const names = Array.from({ length: COLOURS }, (_, index) => `metric_${index}`);
  assert.equal(new Set(slots(names)).size, COLOURS);
  assert.equal(slots([...names, "one_more"]).length, COLOURS + 1);
});
