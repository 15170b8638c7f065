/** Many time series in one call. */

import { keepPreviousData, queryOptions } from "@tanstack/react-query";
import { bounds, before, type Range } from "../format/range.ts";
import { zone } from "../format/times.ts";
import { api, of } from "./client.ts";
import type { Aggregation, Interval, Query, TimeSeries } from "./types.ts";

/** So many series one call may ask for. */
const MOST = 50;

/** A series that is wanted. */
export interface Wanted {
  metricId: string;
  aggregation: Aggregation;
  range: Range;
  interval: Interval;
  /** The range of the same length before it is wanted instead. */
  before?: boolean;
}

/** A series with the range that it was asked for. */
export interface Series {
  start: number;
  end: number;
  /** `null` where there is none, with the reason. */
  data: TimeSeries | null;
  error?: { code: string; message: string };
}

/** What a series is known by. */
export const nameOf = (wanted: Wanted): string =>
  JSON.stringify([wanted.metricId, wanted.aggregation, wanted.range, wanted.interval, wanted.before ?? false]);

/** All of these, by their names, asked for together. The same one is asked for once. */
export const seriesQuery = (wanted: Wanted[]) => {
  const distinct = new Map(wanted.map((one) => [nameOf(one), one]));
  return queryOptions({
    queryKey: ["series", [...distinct.keys()].sort()],
    queryFn: async ({ signal }) => {
      const now = Date.now();
      const asked = [...distinct].map(([name, one]) => {
        const range = bounds(one.range, now);
        return { name, ...(one.before ? before(range) : range), one };
      });
      const answers = await Promise.all(
        chunks(asked, MOST).map((part) =>
          of(api.POST("/api/v1/query", { body: { queries: part.map(question) }, signal })).then((answer) =>
            part.map(({ name, start, end }, index): [string, Series] => {
              const result = answer.results[index];
              if (!result || "error" in result) {
                return [name, { start, end, data: null, error: { code: result?.error ?? "unavailable", message: result?.message ?? "There is no answer." } }];
              }
              return [name, { start, end, data: result }];
            }),
          ),
        ),
      );
      return new Map(answers.flat());
    },
    placeholderData: keepPreviousData,
    enabled: distinct.size > 0,
    // What is live is read again when points come; this is for what they do not tell, such as the range moving on.
    refetchInterval: 60_000,
  });
};

function question({ start, end, one }: { start: number; end: number; one: Wanted }): Query {
  return {
    metricId: one.metricId,
    startDate: String(start),
    endDate: String(end),
    interval: one.interval,
    aggregation: one.aggregation,
    timezone: zone,
  };
}

function chunks<T>(items: T[], size: number): T[][] {
  return Array.from({ length: Math.ceil(items.length / size) }, (_, index) => items.slice(index * size, (index + 1) * size));
}
