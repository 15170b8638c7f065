/**
 * Computes the value that a rule compares, over time: the aggregation of the window that ends at each bucket. The buckets
 * of the metric cannot be compared with the threshold: a sum over an hour is not a sum over a day.
 */

import type { Range } from "../../format/range.ts";
import type { Alert, Interval } from "../../api/types.ts";
import type { Bucket } from "../../chart/aggregate.ts";
import { aggregateBuckets } from "../../chart/aggregate.ts";
import { isPercentile } from "../../format/aggregations.ts";

type Window = Alert["range"];

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const WINDOW_MS: Record<Window, number> = { "5m": 5 * MINUTE, "15m": 15 * MINUTE, "1h": HOUR, "24h": DAY, "7d": 7 * DAY, "30d": 30 * DAY };
const BUCKET_MS = { minute: MINUTE, hour: HOUR, day: DAY };

/**
 * Range and interval to query, and the part at its end to show. The windows of earlier buckets extend beyond the range
 * and are incomplete.
 */
export interface ChartPeriod {
  range: Range;
  interval: Interval & keyof typeof BUCKET_MS;
  shownMs: number;
}

const RECENT_PERIODS: Record<Window, ChartPeriod> = {
  "5m": { range: "24h", interval: "minute", shownMs: 23 * HOUR },
  "15m": { range: "24h", interval: "minute", shownMs: 23 * HOUR },
  "1h": { range: "24h", interval: "minute", shownMs: 23 * HOUR },
  "24h": { range: "7d", interval: "hour", shownMs: 6 * DAY },
  "7d": { range: "30d", interval: "hour", shownMs: 23 * DAY },
  "30d": { range: "90d", interval: "day", shownMs: 60 * DAY },
};

/** Period that the page of a rule shows. */
export const recentPeriod = (window: Window): ChartPeriod => RECENT_PERIODS[window];

/**
 * Period of a preview: 30 days. Buckets of a minute would be too many, so windows shorter than an hour are drawn as
 * windows of an hour.
 */
export function previewPeriod(window: Window): ChartPeriod {
  const shownMs = 30 * DAY;
  if (window === "30d") return { range: "90d", interval: "day", shownMs };
  return { range: WINDOW_MS[window] > HOUR ? "90d" : "30d", interval: "hour", shownMs };
}

/**
 * Returns the rule's value at the end of each bucket. Percentiles cannot be combined, and `last` needs no window; for both,
 * the buckets are returned unchanged.
 */
export function rollingValues(points: Bucket[], aggregation: string, window: Window, { interval }: ChartPeriod): Bucket[] {
  const buckets = Math.round(WINDOW_MS[window] / BUCKET_MS[interval]);
  if (buckets <= 1 || aggregation === "last" || isPercentile(aggregation)) return points;
  let first = 0;
  return points.map((point, index) => {
    while ((points[first]?.timestamp ?? point.timestamp) <= point.timestamp - buckets * BUCKET_MS[interval]) first += 1;
    return { ...point, value: aggregateBuckets(points.slice(first, index + 1), aggregation) };
  });
}
