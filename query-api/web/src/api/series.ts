/** Reads time series in batches with `POST /query`. */

import { keepPreviousData, queryOptions } from "@tanstack/react-query";
import { rangeBounds, previousPeriod, type Range } from "../format/range.ts";
import { timeZone } from "../format/times.ts";
import { api, unwrap } from "./client.ts";
import type { Aggregation, Interval, Query, TimeSeries } from "./types.ts";

/** The API accepts at most 50 queries per request. */
const MAX_QUERIES_PER_REQUEST = 50;

export interface SeriesRequest {
  metricId: string;
  aggregation: Aggregation;
  range: Range;
  interval: Interval;
  /** Reads the period of the same length directly before `range` instead. */
  previousPeriod?: boolean;
}

/** Time series of one request, with the bounds of the range that was queried (Unix milliseconds). */
export interface SeriesResult {
  start: number;
  end: number;
  /** `null` if the query failed; `error` has the reason. */
  data: TimeSeries | null;
  error?: { code: string; message: string };
}

/** Returns the key of a request in the result of `seriesQuery`. */
export const seriesKey = (request: SeriesRequest): string =>
  JSON.stringify([request.metricId, request.aggregation, request.range, request.interval, request.previousPeriod ?? false]);

/** Reads all requested series together, deduplicated. The result maps `seriesKey` to the series. */
export const seriesQuery = (requests: SeriesRequest[]) => {
  const distinct = new Map(requests.map((request) => [seriesKey(request), request]));
  return queryOptions({
    queryKey: ["series", [...distinct.keys()].sort()],
    queryFn: async ({ signal }) => {
      const now = Date.now();
      const resolved = [...distinct].map(([key, request]) => {
        const range = rangeBounds(request.range, now);
        return { key, ...(request.previousPeriod ? previousPeriod(range) : range), request };
      });
      const responses = await Promise.all(
        chunks(resolved, MAX_QUERIES_PER_REQUEST).map((chunk) =>
          unwrap(api.POST("/api/v1/query", { body: { queries: chunk.map(toQuery) }, signal })).then((response) =>
            chunk.map(({ key, start, end }, index): [string, SeriesResult] => {
              const result = response.results[index];
              if (!result || "error" in result) {
                return [key, { start, end, data: null, error: { code: result?.error ?? "unavailable", message: result?.message ?? "The server returned no data for this series." } }];
              }
              return [key, { start, end, data: result }];
            }),
          ),
        ),
      );
      return new Map(responses.flat());
    },
    placeholderData: keepPreviousData,
    enabled: distinct.size > 0,
    // New points trigger a refresh through the live stream. Polling covers the rest, such as a range that ends now.
    refetchInterval: 60_000,
  });
};

function toQuery({ start, end, request }: { start: number; end: number; request: SeriesRequest }): Query {
  return {
    metricId: request.metricId,
    startDate: String(start),
    endDate: String(end),
    interval: request.interval,
    aggregation: request.aggregation,
    timezone: timeZone,
  };
}

function chunks<T>(items: T[], size: number): T[][] {
  return Array.from({ length: Math.ceil(items.length / size) }, (_, index) => items.slice(index * size, (index + 1) * size));
}
