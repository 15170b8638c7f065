/** The range of time that a page looks at, and how the address holds it. */

export const SPANS = ["1h", "24h", "7d", "30d", "90d"] as const;
export type Span = (typeof SPANS)[number];
export type Range = Span | { startDate: number; endDate: number };

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const LENGTH: Record<Span, number> = { "1h": HOUR, "24h": 24 * HOUR, "7d": 168 * HOUR, "30d": 720 * HOUR, "90d": 2160 * HOUR };

export const SPAN_NAMES: Record<Span, string> = {
  "1h": "Last hour",
  "24h": "Last 24 hours",
  "7d": "Last 7 days",
  "30d": "Last 30 days",
  "90d": "Last 90 days",
};

export const isSpan = (text: unknown): text is Span => SPANS.includes(text as Span);

/** From when to when, given what time it is. A span ends with the minute that has begun: whole minutes are answered from memory. */
export function bounds(range: Range, now: number): { start: number; end: number } {
  if (!isSpan(range)) return { start: range.startDate, end: range.endDate };
  const end = Math.ceil(now / MINUTE) * MINUTE;
  return { start: end - LENGTH[range], end };
}

/** The range of the same length before. */
export function before({ start, end }: { start: number; end: number }): { start: number; end: number } {
  return { start: start - (end - start), end: start };
}

/** The range that an address names: `range=7d`, or `from` and `to`. */
export function readRange(params: URLSearchParams): Range | undefined {
  const span = params.get("range");
  if (isSpan(span)) return span;
  const [from, to] = [params.get("from"), params.get("to")].map(moment);
  return from !== undefined && to !== undefined && from < to ? { startDate: from, endDate: to } : undefined;
}

/** The address with this range, or without any. */
export function writeRange(params: URLSearchParams, range: Range | undefined): URLSearchParams {
  const next = new URLSearchParams(params);
  for (const name of ["range", "from", "to"]) next.delete(name);
  if (isSpan(range)) next.set("range", range);
  else if (range) {
    next.set("from", new Date(range.startDate).toISOString());
    next.set("to", new Date(range.endDate).toISOString());
  }
  return next;
}

function moment(text: string | null): number | undefined {
  const at = text === null ? Number.NaN : Date.parse(text);
  return Number.isNaN(at) ? undefined : at;
}
