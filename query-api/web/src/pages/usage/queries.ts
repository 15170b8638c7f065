import { keepPreviousData, queryOptions } from "@tanstack/react-query";
import { api, unwrap } from "../../api/client.ts";
import { rangeBounds } from "../../format/range.ts";

export type UsageRange = "1h" | "24h" | "7d" | "30d";

const INTERVALS = { "1h": "minute", "24h": "hour", "7d": "hour", "30d": "day" } as const;
const BUCKET_MS = { minute: 60_000, hour: 3_600_000, day: 86_400_000 } as const;

/** Bucket width of the report, in milliseconds. */
export const bucketMs = (range: UsageRange): number => BUCKET_MS[INTERVALS[range]];

export const usageQuery = (range: UsageRange) =>
  queryOptions({
    queryKey: ["usage", range],
    queryFn: async () => {
      const { start, end } = rangeBounds(range, Date.now());
      const query = { startDate: String(start), endDate: String(end), interval: INTERVALS[range] };
      return unwrap(api.GET("/api/v1/usage", { params: { query } }));
    },
    placeholderData: keepPreviousData,
    refetchInterval: 15_000,
  });
