/** What a whole range comes to, from its buckets. */

export interface Bucket {
  timestamp: number;
  value: number | null;
  count: number;
}

/**
 * One number for the range. Means are weighed by the number of points. Percentiles of buckets do not make one of the
 * range, so theirs is the newest bucket's.
 */
export function total(points: Bucket[], aggregation: string): number | null {
  const known = points.filter((point): point is Bucket & { value: number } => point.value !== null);
  const last = known.at(-1);
  if (!last) return null;
  const values = known.map((point) => point.value);
  switch (aggregation) {
    case "sum":
    case "count":
      return values.reduce((sum, value) => sum + value, 0);
    case "min":
      return values.reduce((a, b) => Math.min(a, b));
    case "max":
      return values.reduce((a, b) => Math.max(a, b));
    case "avg": {
      const count = known.reduce((sum, point) => sum + point.count, 0);
      return count === 0 ? null : known.reduce((sum, point) => sum + point.value * point.count, 0) / count;
    }
    default:
      return last.value;
  }
}
