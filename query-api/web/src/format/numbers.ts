/**
 * Values as people write them: with their unit, in the reader's locale.
 *
 * Units are free text. Those that are known (currencies, percent, durations, sizes) are written as the locale has them
 * and scaled; any other stands behind the number as it was sent.
 */

export interface Options {
  /** Short, for axes and small places: `1.2K`. */
  compact?: boolean;
  /** So many significant digits where it is short; for axes whose values hardly differ. */
  digits?: number;
  locale?: string;
}

const LONG_UNIT = 8;
const CURRENCY = /^[A-Z]{3}$/;
const COUNTS = new Set(["", "count", "counts", "number", "none", "1"]);
const MS: Record<string, number> = {
  ns: 1e-6, us: 1e-3, "µs": 1e-3, ms: 1, millisecond: 1, milliseconds: 1, s: 1000, sec: 1000, second: 1000,
  seconds: 1000, min: 60_000, minute: 60_000, minutes: 60_000, h: 3_600_000, hour: 3_600_000, hours: 3_600_000,
};
const BYTES: Record<string, number> = {
  b: 1, byte: 1, bytes: 1, kb: 1e3, mb: 1e6, gb: 1e9, kib: 1024, mib: 1024 ** 2, gib: 1024 ** 3,
};
const DURATIONS: [number, string][] = [[86_400_000, "d"], [3_600_000, "h"], [60_000, "min"], [1000, "s"], [1, "ms"], [1e-3, "µs"], [1e-6, "ns"]];
const SIZES: [number, string][] = [[1e15, "PB"], [1e12, "TB"], [1e9, "GB"], [1e6, "MB"], [1e3, "kB"], [1, "B"]];

/** A value with its unit. */
export function formatValue(value: number | null | undefined, unit?: string | null, options: Options = {}): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  const name = (unit ?? "").trim();
  const key = name.toLowerCase();
  if (COUNTS.has(key)) return number(value, options);
  if (key === "%" || key === "percent") return new Intl.NumberFormat(options.locale, { style: "unit", unit: "percent", ...precision(value, options) }).format(value);
  if (CURRENCY.test(name)) {
    const money = currency(value, name, options);
    if (money) return money;
  }
  const ms = MS[key];
  if (ms !== undefined) return scaled(value * ms, DURATIONS, options);
  const bytes = BYTES[key];
  if (bytes !== undefined) return scaled(value * bytes, SIZES, options);
  // Where there is little room a long word would take all of it.
  return options.compact && name.length > LONG_UNIT ? number(value, options) : `${number(value, options)} ${name}`;
}

/** The same, as short as it takes to have no more than `room` characters. */
export function formatWithin(room: number, value: number | null | undefined, unit?: string | null, options: Options = {}): string {
  const text = formatValue(value, unit, options);
  return text.length <= room ? text : formatValue(value, unit, { ...options, compact: true, digits: 4 });
}

/** How a value changed from another, as a share of it: `+12%`. Nothing where that means nothing. */
export function formatChange(now: number | null, before: number | null, locale?: string): string | undefined {
  if (now === null || before === null || before === 0) return undefined;
  const share = (now - before) / Math.abs(before);
  if (!Number.isFinite(share)) return undefined;
  const size = Math.abs(share);
  const exact = size >= 100 ? { notation: "compact", maximumSignificantDigits: 2 } as const : { maximumFractionDigits: size < 0.1 ? 1 : 0 };
  return new Intl.NumberFormat(locale, { style: "percent", signDisplay: "exceptZero", ...exact }).format(share);
}

/** A whole number, with the locale's separators. */
export function formatCount(value: number): string {
  return new Intl.NumberFormat().format(value);
}

function number(value: number, options: Options): string {
  return new Intl.NumberFormat(options.locale, precision(value, options)).format(value);
}

/** How exact a number is written. What is very large or very small is not written out. */
function precision(value: number, { compact, digits }: Options): Intl.NumberFormatOptions {
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-4 || size >= 1e15)) return { notation: "scientific", maximumSignificantDigits: compact ? (digits ?? 3) : 4 };
  if (compact) return { notation: "compact", maximumSignificantDigits: digits ?? (size < 1 ? 2 : 3) };
  return size < 1 ? { maximumSignificantDigits: 3 } : { maximumFractionDigits: 2 };
}

function currency(value: number, code: string, options: Options): string | undefined {
  const size = Math.abs(value);
  // Cents are written out; less than one is not rounded to nothing.
  const usual = !options.compact && size < 1e15 && (size >= 0.01 || size === 0);
  const exact = !usual ? precision(value, options) : Number.isInteger(value) ? { maximumFractionDigits: 0 } : {};
  try {
    return new Intl.NumberFormat(options.locale, { style: "currency", currency: code, currencyDisplay: "narrowSymbol", ...exact }).format(value);
  } catch {
    return undefined;
  }
}

function scaled(value: number, steps: [number, string][], options: Options): string {
  const last = steps[steps.length - 1] ?? [1, ""];
  const zero = steps.find(([size]) => size === 1) ?? last;
  const [size, name] = value === 0 ? zero : (steps.find(([size]) => Math.abs(value) >= size) ?? last);
  return `${number(value / size, options)} ${name}`;
}
