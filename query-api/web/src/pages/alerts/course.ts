/**
 * The number that a rule compares, over time: what its aggregation makes of the window that ends there. The metric's
 * own buckets would stand at quite another height than the threshold: a sum of an hour is not one of a day.
 */

import type { Range } from "../../format/range.ts";
import type { Alert, Interval } from "../../api/types.ts";
import type { Bucket } from "../../chart/total.ts";
import { total } from "../../chart/total.ts";
import { isPercentile } from "../../format/choices.ts";

type Window = Alert["range"];

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const WINDOW_MS: Record<Window, number> = { "5m": 5 * MINUTE, "15m": 15 * MINUTE, "1h": HOUR, "24h": DAY, "7d": 7 * DAY, "30d": 30 * DAY };
const BUCKET_MS = { minute: MINUTE, hour: HOUR, day: DAY };

/** What has to be asked for, and how much of its end is to be shown: before that, windows are not whole. */
export interface Course {
  range: Range;
  interval: Interval & keyof typeof BUCKET_MS;
  shownMs: number;
}

const LATELY: Record<Window, Course> = {
  "5m": { range: "24h", interval: "minute", shownMs: 23 * HOUR },
  "15m": { range: "24h", interval: "minute", shownMs: 23 * HOUR },
  "1h": { range: "24h", interval: "minute", shownMs: 23 * HOUR },
  "24h": { range: "7d", interval: "hour", shownMs: 6 * DAY },
  "7d": { range: "30d", interval: "hour", shownMs: 23 * DAY },
  "30d": { range: "90d", interval: "day", shownMs: 60 * DAY },
};

/** A rule's latest times. */
export const lately = (window: Window): Course => LATELY[window];

/** The 30 days that a preview is of. Minutes would be too many: a window of less than an hour is drawn as one. */
export function ofMonth(window: Window): Course {
  const shownMs = 30 * DAY;
  if (window === "30d") return { range: "90d", interval: "day", shownMs };
  return { range: WINDOW_MS[window] > HOUR ? "90d" : "30d", interval: "hour", shownMs };
}

/** The rule's number at the end of each bucket. Percentiles cannot be put together: theirs are the buckets' own. */
export function rolling(points: Bucket[], aggregation: string, window: Window, { interval }: Course): Bucket[] {
  const buckets = Math.round(WINDOW_MS[window] / BUCKET_MS[interval]);
  if (buckets <= 1 || aggregation === "last" || isPercentile(aggregation)) return points;
  let first = 0;
  return points.map((point, index) => {
    while ((points[first]?.timestamp ?? point.timestamp) <= point.timestamp - buckets * BUCKET_MS[interval]) first += 1;
    return { ...point, value: total(points.slice(first, index + 1), aggregation) };
  });
}
