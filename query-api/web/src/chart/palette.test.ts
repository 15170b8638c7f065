import assert from "node:assert/strict";
import { test } from "vitest";
import { COLOUR_COUNT, paletteSlots } from "./palette.ts";

test("series has the same colour in every chart", () => {
  assert.equal(paletteSlots(["daily_signups"])[0], paletteSlots(["daily_signups", "other"])[0]);
});

test("series of a chart differ while the palette lasts", () => {
  const names = Array.from({ length: COLOUR_COUNT }, (_, index) => `metric_${index}`);
  assert.equal(new Set(paletteSlots(names)).size, COLOUR_COUNT);
  assert.equal(paletteSlots([...names, "one_more"]).length, COLOUR_COUNT + 1);
});
