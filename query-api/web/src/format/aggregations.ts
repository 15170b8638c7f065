/** Aggregations and intervals with their labels. */

import type { Aggregation, Interval } from "../api/types.ts";

export const AGGREGATIONS: readonly (readonly [Aggregation, string])[] = [
  ["avg", "Average"],
  ["sum", "Sum"],
  ["min", "Minimum"],
  ["max", "Maximum"],
  ["count", "Count"],
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
export const aggregationLabel = (name: string): string => AGGREGATIONS.find(([value]) => value === name)?.[1] ?? name;

/** Label for places with little room. */
export const shortAggregationLabel = (name: string): string => (isPercentile(name) ? name : name === "last" ? "Last" : name === "count" ? "Count" : aggregationLabel(name));

/** Percentiles of buckets cannot be combined; `aggregateBuckets` returns the newest bucket's. */
export const isPercentile = (name: string): boolean => /^p\d/.test(name);

/** Unit of the aggregated value: a count of points has none. */
export const aggregatedUnit = (aggregation: string, unit: string | null): string | null => (aggregation === "count" ? null : unit);
