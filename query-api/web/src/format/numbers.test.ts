import assert from "node:assert/strict";
import { test } from "vitest";
import { formatChange, formatValue, formatValueWithin } from "./numbers.ts";

const en = { locale: "en-US" };

test("value is formatted with its unit", () => {
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

test("unknown currency code is appended to the number", () => {
  assert.equal(formatValue(3, "ABCD", en), "3 ABCD");
});

test("missing value is a dash", () => {
  assert.equal(formatValue(null, "ms"), "–");
  assert.equal(formatValue(Number.NaN, "ms"), "–");
});

test("compact format is short", () => {
  assert.equal(formatValue(12_345, "count", { ...en, compact: true }), "12.3K");
  assert.equal(formatValue(12_345, "USD", { ...en, compact: true }), "$12.3K");
  assert.equal(formatValue(0.25, "%", { ...en, compact: true }), "0.25%");
  assert.equal(formatValue(1_234_567, "count", { ...en, compact: true, digits: 6 }), "1.23457M");
});

test("change is relative to the previous value, if it is not zero", () => {
  assert.equal(formatChange(112, 100, "en-US"), "+12%");
  assert.equal(formatChange(-50, -100, "en-US"), "+50%");
  assert.equal(formatChange(101, 100, "en-US"), "+1%");
  assert.equal(formatChange(1, 0, "en-US"), undefined);
  assert.equal(formatChange(null, 3, "en-US"), undefined);
  assert.equal(formatChange(1e308, 1e-308, "en-US"), undefined);
  assert.equal(formatChange(Number.NaN, 3, "en-US"), undefined);
});

test("numbers of any size stay short and are not rounded to zero", () => {
  for (const unit of [null, "USD", "%", "s", "bytes", "orders"]) {
    for (const value of [1e300, -1e300, 1e15, 1e-12, -3.3e-7, 0.00012, 0.004]) {
      for (const compact of [true, false]) {
        const text = formatValue(value, unit, { ...en, compact });
        assert.ok(text.length <= 20 && /[1-9]/.test(text), `${value} ${unit}: ${text}`);
      }
    }
  }
  assert.equal(formatValue(0.004, "USD", en), "$0.004");
  assert.equal(formatChange(1e9, 1, "en-US"), "+100B%");
});

test("text over the maximum length is compact without a long unit", () => {
  assert.equal(formatValueWithin(12, 49_030.01, "USD", en), "$49,030.01");
  assert.equal(formatValueWithin(12, -30_827_136.5, "EUR", en), "-€30.83M");
  assert.equal(formatValueWithin(12, 1_234_567.89, "widgets per fortnight", en), "1.235M");
  assert.equal(formatValue(12, "jobs", { ...en, compact: true }), "12 jobs");
});

test("percent sign and separators follow the locale", () => {
  assert.equal(formatValue(99.95, "%", { locale: "de" }), "99,95\u00a0%");
  assert.match(formatValue(99.95, "%", { locale: "ar-EG" }), /٩٩٫٩٥٪/);
});
