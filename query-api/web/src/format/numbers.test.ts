import assert from "node:assert/strict";
import { test } from "vitest";
import { formatChange, formatValue } from "./numbers.ts";

const en = { locale: "en-US" };

test("a value is written with its unit as people write it", () => {
  for (const [value, unit, expected] of [
    [42, "count", "42"],
    [1234.5, null, "1,234.5"],
    [99.95, "%", "99.95%"],
    [1200, "USD", "$1,200"],
    [19.9, "EUR", "€19.90"],
    [231, "ms", "231 ms"],
    [1500, "ms", "1.5 s"],
    [90, "s", "1.5 min"],
    [0, "s", "0 ms"],
    [2_500_000, "bytes", "2.5 MB"],
    [7, "orders", "7 orders"],
    [0.00001, "", "1E-5"],
  ] as const) {
    assert.equal(formatValue(value, unit, en), expected);
  }
});

test("what is no currency code stands behind the number", () => {
  assert.equal(formatValue(3, "ABCD", en), "3 ABCD");
});

test("no value is a dash", () => {
  assert.equal(formatValue(null, "ms"), "–");
  assert.equal(formatValue(Number.NaN, "ms"), "–");
});

test("axes get short numbers", () => {
  assert.equal(formatValue(12_345, "count", { ...en, compact: true }), "12.3K");
  assert.equal(formatValue(12_345, "USD", { ...en, compact: true }), "$12.3K");
});

test("a change is a share of what was before, and nothing where that was nothing", () => {
  assert.equal(formatChange(112, 100, "en-US"), "+12%");
  assert.equal(formatChange(-50, -100, "en-US"), "+50%");
  assert.equal(formatChange(101, 100, "en-US"), "+1%");
  assert.equal(formatChange(1, 0, "en-US"), undefined);
  assert.equal(formatChange(null, 3, "en-US"), undefined);
});
