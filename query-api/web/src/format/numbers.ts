/**
 * Formats values with their unit in the user's locale.
 *
 * Units are free text. Known units (currencies, percent, durations, sizes) are formatted by the rules of the locale;
 * durations and sizes are also scaled. Any other unit is appended to the number unchanged.
 */

export interface FormatOptions {
  /** Short form for axes and other places with little room: `1.2K`. */
  compact?: boolean;
  /** Significant digits of the short form; for axes whose values are close together. */
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

/** Formats a value with its unit; a dash if there is no value. */
export function formatValue(value: number | null | undefined, unit?: string | null, options: FormatOptions = {}): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  const name = (unit ?? "").trim();
  const key = name.toLowerCase();
  if (COUNTS.has(key)) return formatNumber(value, options);
  if (key === "%" || key === "percent") return new Intl.NumberFormat(options.locale, { style: "unit", unit: "percent", ...precision(value, options) }).format(value);
  if (CURRENCY.test(name)) {
    const text = formatCurrency(value, name, options);
    if (text) return text;
  }
  const ms = MS[key];
  if (ms !== undefined) return formatScaled(value * ms, DURATIONS, options);
  const bytes = BYTES[key];
  if (bytes !== undefined) return formatScaled(value * bytes, SIZES, options);
  // The short form has no room for a long unit.
  return options.compact && name.length > LONG_UNIT ? formatNumber(value, options) : `${formatNumber(value, options)} ${name}`;
}

/** Formats a value, in the short form if the full text exceeds `maxLength` characters. */
export function formatValueWithin(maxLength: number, value: number | null | undefined, unit?: string | null, options: FormatOptions = {}): string {
  const text = formatValue(value, unit, options);
  return text.length <= maxLength ? text : formatValue(value, unit, { ...options, compact: true, digits: 4 });
}

/** Relative change between two values: `+12%`. `undefined` if a value is missing, or the earlier one is zero. */
export function formatChange(current: number | null, previous: number | null, locale?: string): string | undefined {
  if (current === null || previous === null || previous === 0) return undefined;
  const change = (current - previous) / Math.abs(previous);
  if (!Number.isFinite(change)) return undefined;
  const size = Math.abs(change);
  const digits = size >= 100 ? { notation: "compact", maximumSignificantDigits: 2 } as const : { maximumFractionDigits: size < 0.1 ? 1 : 0 };
  return new Intl.NumberFormat(locale, { style: "percent", signDisplay: "exceptZero", ...digits }).format(change);
}

export function formatCount(value: number): string {
  return new Intl.NumberFormat().format(value);
}

function formatNumber(value: number, options: FormatOptions): string {
  return new Intl.NumberFormat(options.locale, precision(value, options)).format(value);
}

/** Chooses digits and notation. Very large and very small numbers use scientific notation. */
function precision(value: number, { compact, digits }: FormatOptions): Intl.NumberFormatOptions {
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-4 || size >= 1e15)) return { notation: "scientific", maximumSignificantDigits: compact ? (digits ?? 3) : 4 };
  if (compact) return { notation: "compact", maximumSignificantDigits: digits ?? (size < 1 ? 2 : 3) };
  return size < 1 ? { maximumSignificantDigits: 3 } : { maximumFractionDigits: 2 };
}

function formatCurrency(value: number, code: string, options: FormatOptions): string | undefined {
  const size = Math.abs(value);
  // Cents are shown. An amount below one cent is not rounded to zero.
  const useDefault = !options.compact && size < 1e15 && (size >= 0.01 || size === 0);
  const digits = !useDefault ? precision(value, options) : Number.isInteger(value) ? { maximumFractionDigits: 0 } : {};
  try {
    return new Intl.NumberFormat(options.locale, { style: "currency", currency: code, currencyDisplay: "narrowSymbol", ...digits }).format(value);
  } catch {
    return undefined;
  }
}

function formatScaled(value: number, steps: [number, string][], options: FormatOptions): string {
  const last = steps[steps.length - 1] ?? [1, ""];
  const zero = steps.find(([size]) => size === 1) ?? last;
  const [size, name] = value === 0 ? zero : (steps.find(([size]) => Math.abs(value) >= size) ?? last);
  return `${formatNumber(value / size, options)} ${name}`;
}
