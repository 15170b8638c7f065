import { useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { nameOf, seriesQuery, type Wanted } from "../../api/series.ts";
import type { Aggregation, Alert } from "../../api/types.ts";
import { slots } from "../../chart/palette.ts";
import { unitOf } from "../../format/choices.ts";
import { rolling, type Course } from "./course.ts";

interface Rule {
  metricId: string;
  aggregation: Aggregation;
  range: Alert["range"];
}

/** The number that a rule compares, to be drawn. Nothing is asked while there is no rule. */
export function useCourse(rule: Rule | undefined, course: Course | undefined, name: string, unit: string | null) {
  const wanted = useMemo<Wanted[]>(
    () => (rule && course ? [{ metricId: rule.metricId, aggregation: rule.aggregation, range: course.range, interval: course.interval }] : []),
    [rule, course],
  );
  const query = useQuery(seriesQuery(wanted));
  const answer = wanted[0] && query.data?.get(nameOf(wanted[0]));
  const drawn = useMemo(() => {
    if (!rule || !course || !answer?.data) return { start: 0, end: 0, series: [] };
    const start = answer.end - course.shownMs;
    const buckets = answer.data.points.map((point) => ({ ...point, value: point.value ?? null }));
    const points = rolling(buckets, rule.aggregation, rule.range, course).filter((point) => point.timestamp >= start);
    return { start, end: answer.end, series: points.length === 0 ? [] : [{ name, unit: unitOf(rule.aggregation, unit), slot: slots([rule.metricId])[0] ?? 0, points }] };
  }, [rule, course, answer, name, unit]);
  // What is kept of another rule is no answer to this one.
  const pending = query.isPending || (!answer && query.isFetching);
  return { query, pending, reason: answer?.error?.message, ...drawn };
}
