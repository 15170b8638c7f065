/** Aggregates the buckets of a time series to one value for the whole range. */

export interface Bucket {
  timestamp: number;
  value: number | null;
  count: number;
}

/**
 * Returns one value for the range, or `null` if it has no points. Averages are weighted by the number of points.
 * A percentile cannot be computed from percentiles of buckets, so the newest bucket's value is returned.
 */
export function aggregateBuckets(points: Bucket[], aggregation: string): number | null {
  const present = points.filter((point): point is Bucket & { value: number } => point.value !== null);
  const last = present.at(-1);
  if (!last) return null;
  const values = present.map((point) => point.value);
  switch (aggregation) {
    case "sum":
    case "count":
      return values.reduce((sum, value) => sum + value, 0);
    case "min":
      return values.reduce((a, b) => Math.min(a, b));
    case "max":
      return values.reduce((a, b) => Math.max(a, b));
    case "avg": {
      const count = present.reduce((sum, point) => sum + point.count, 0);
      return count === 0 ? null : present.reduce((sum, point) => sum + point.value * point.count, 0) / count;
    }
    default:
      return last.value;
  }
}
