/** Time range of a page, and its representation in the URL. */

export const PRESETS = ["1h", "24h", "7d", "30d", "90d"] as const;
export type RangePreset = (typeof PRESETS)[number];
export type Range = RangePreset | { startDate: number; endDate: number };

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const PRESET_MS: Record<RangePreset, number> = { "1h": HOUR, "24h": 24 * HOUR, "7d": 168 * HOUR, "30d": 720 * HOUR, "90d": 2160 * HOUR };

export const PRESET_LABELS: Record<RangePreset, string> = {
  "1h": "Last hour",
  "24h": "Last 24 hours",
  "7d": "Last 7 days",
  "30d": "Last 30 days",
  "90d": "Last 90 days",
};

export const isPreset = (text: unknown): text is RangePreset => PRESETS.includes(text as RangePreset);

/**
 * Returns start and end of a range in Unix milliseconds. A preset ends at the next full minute, because the query API
 * answers ranges of whole minutes from its cache.
 */
export function rangeBounds(range: Range, now: number): { start: number; end: number } {
  if (!isPreset(range)) return { start: range.startDate, end: range.endDate };
  const end = Math.ceil(now / MINUTE) * MINUTE;
  return { start: end - PRESET_MS[range], end };
}

/** Returns the period of the same length directly before. */
export function previousPeriod({ start, end }: { start: number; end: number }): { start: number; end: number } {
  return { start: start - (end - start), end: start };
}

/** Reads the range from URL parameters: `range=7d`, or `from` and `to`. */
export function rangeFromParams(params: URLSearchParams): Range | undefined {
  const preset = params.get("range");
  if (isPreset(preset)) return preset;
  const [from, to] = [params.get("from"), params.get("to")].map(parseTimestamp);
  return from !== undefined && to !== undefined && from < to ? { startDate: from, endDate: to } : undefined;
}

/** Returns a copy of the URL parameters with this range, or without a range. */
export function rangeToParams(params: URLSearchParams, range: Range | undefined): URLSearchParams {
  const next = new URLSearchParams(params);
  for (const name of ["range", "from", "to"]) next.delete(name);
  if (isPreset(range)) next.set("range", range);
  else if (range) {
    next.set("from", new Date(range.startDate).toISOString());
    next.set("to", new Date(range.endDate).toISOString());
  }
  return next;
}

function parseTimestamp(text: string | null): number | undefined {
  const at = text === null ? Number.NaN : Date.parse(text);
  return Number.isNaN(at) ? undefined : at;
}
