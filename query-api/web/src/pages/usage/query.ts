import { keepPreviousData, queryOptions } from "@tanstack/react-query";
import { api, of } from "../../api/client.ts";
import { bounds } from "../../format/range.ts";

export type UsageSpan = "1h" | "24h" | "7d" | "30d";

const INTERVALS = { "1h": "minute", "24h": "hour", "7d": "hour", "30d": "day" } as const;
const WIDTHS = { minute: 60_000, hour: 3_600_000, day: 86_400_000 } as const;

/** How long a bucket of the report is. */
export const bucketMs = (span: UsageSpan): number => WIDTHS[INTERVALS[span]];

/** The usage report. */
export const usageQuery = (span: UsageSpan) =>
  queryOptions({
    queryKey: ["usage", span],
    queryFn: async () => {
      const { start, end } = bounds(span, Date.now());
      const query = { startDate: String(start), endDate: String(end), interval: INTERVALS[span] };
      return of(api.GET("/api/v1/usage", { params: { query } }));
    },
    placeholderData: keepPreviousData,
    refetchInterval: 15_000,
  });
