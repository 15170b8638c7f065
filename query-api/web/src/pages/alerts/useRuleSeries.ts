import { useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { seriesKey, seriesQuery, type SeriesRequest } from "../../api/series.ts";
import type { Aggregation, Alert } from "../../api/types.ts";
import { paletteSlots } from "../../chart/palette.ts";
import { aggregatedUnit } from "../../format/aggregations.ts";
import { rollingValues, type ChartPeriod } from "./ruleSeries.ts";

interface Rule {
  metricId: string;
  aggregation: Aggregation;
  range: Alert["range"];
}

/** Reads the value that a rule compares, over time, as a chart series. Sends no query while `rule` is undefined. */
export function useRuleSeries(rule: Rule | undefined, period: ChartPeriod | undefined, name: string, unit: string | null) {
  const requests = useMemo<SeriesRequest[]>(
    () => (rule && period ? [{ metricId: rule.metricId, aggregation: rule.aggregation, range: period.range, interval: period.interval }] : []),
    [rule, period],
  );
  const query = useQuery(seriesQuery(requests));
  const result = requests[0] && query.data?.get(seriesKey(requests[0]));
  const chart = useMemo(() => {
    if (!rule || !period || !result?.data) return { start: 0, end: 0, series: [] };
    const start = result.end - period.shownMs;
    const buckets = result.data.points.map((point) => ({ ...point, value: point.value ?? null }));
    const points = rollingValues(buckets, rule.aggregation, rule.range, period).filter((point) => point.timestamp >= start);
    return { start, end: result.end, series: points.length === 0 ? [] : [{ name, unit: aggregatedUnit(rule.aggregation, unit), slot: paletteSlots([rule.metricId])[0] ?? 0, points }] };
  }, [rule, period, result, name, unit]);
  // The query keeps the data of the previous rule while it loads; that data must not be shown for this rule.
  const pending = query.isPending || (!result && query.isFetching);
  return { query, pending, reason: result?.error?.message, ...chart };
}
