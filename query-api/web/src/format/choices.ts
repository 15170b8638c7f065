/** What one may choose from, with names for people. */

import type { Aggregation, Interval } from "../api/types.ts";

export const AGGREGATIONS: readonly (readonly [Aggregation, string])[] = [
  ["avg", "Average"],
  ["sum", "Sum"],
  ["min", "Minimum"],
  ["max", "Maximum"],
  ["count", "Number of points"],
  ["last", "Last value"],
  ["p50", "Median"],
  ["p90", "90th percentile"],
  ["p99", "99th percentile"],
];

export const INTERVALS: readonly (readonly [Interval, string])[] = [
  ["auto", "Automatic"],
  ["minute", "Minute"],
  ["hour", "Hour"],
  ["day", "Day"],
  ["week", "Week"],
  ["month", "Month"],
];

export const isAggregation = (text: unknown): text is Aggregation => AGGREGATIONS.some(([name]) => name === text);
export const isInterval = (text: unknown): text is Interval => INTERVALS.some(([name]) => name === text);
export const aggregationName = (name: string): string => AGGREGATIONS.find(([one]) => one === name)?.[1] ?? name;

/** The same where there is little room. */
export const aggregationShort = (name: string): string => (isPercentile(name) ? name : name === "last" ? "Last" : name === "count" ? "Points" : aggregationName(name));

/** Percentiles of parts do not make one of the whole: where one number is wanted, it is that of the newest part (chart/total.ts). */
export const isPercentile = (name: string): boolean => /^p\d/.test(name);

/** The unit of what an aggregation makes of values with `unit`: a number of points has none. */
export const unitOf = (aggregation: string, unit: string | null): string | null => (aggregation === "count" ? null : unit);
