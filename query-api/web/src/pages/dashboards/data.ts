/** What a widget needs, and what it makes of the answers. */

import { nameOf, type Series, type Wanted } from "../../api/series.ts";
import type { Aggregation, Interval, Widget } from "../../api/types.ts";
import type { ChartSeries } from "../../chart/model.ts";
import { COLOURS, slots } from "../../chart/palette.ts";
import { total } from "../../chart/total.ts";
import { aggregationName, unitOf } from "../../format/choices.ts";
import type { Range } from "../../format/range.ts";

/** A series of a widget. */
export interface Shown extends ChartSeries {
  metricId: string;
  metricName: string;
  aggregation: string;
  /** What the whole range comes to. */
  total: number | null;
  /** What the range before came to; only of numbers and tables. */
  before: number | null;
  /** Why there are no points. */
  missing?: string;
}

export interface Content {
  start: number;
  end: number;
  series: Shown[];
}

const comparesItself = (type: string): boolean => type === "number" || type === "table";

/** The series that a widget needs, over `range` if one is chosen for all. */
export function wantedBy(widget: Widget, range: Range | undefined): Wanted[] {
  return widget.series.flatMap((one) => {
    const wanted: Wanted = {
      metricId: one.metricId,
      aggregation: one.aggregation as Aggregation,
      range: range ?? (widget.range as Range),
      interval: widget.interval as Interval,
    };
    return comparesItself(widget.type) ? [wanted, { ...wanted, before: true }] : [wanted];
  });
}

/** Colours by metric: on a dashboard a metric has the same one in all widgets, and neighbours differ. */
export type Colours = Map<string, number>;

/** Colours of all metrics of these widgets, in the order in which they turn up. */
export function coloursOf(widgets: Widget[]): Colours {
  const metrics = [...new Set(widgets.flatMap((widget) => widget.series.map((one) => one.metricId)))];
  return new Map(metrics.map((metric, index) => [metric, index % COLOURS]));
}

/** What a widget shows; nothing as long as an answer is missing. */
export function contentOf(widget: Widget, range: Range | undefined, answers: Map<string, Series> | undefined, chosen?: Colours): Content | undefined {
  const all = wantedBy(widget, range);
  const found = all.map((wanted) => answers?.get(nameOf(wanted)));
  if (found.some((series) => series === undefined) || !answers) return undefined;
  const of = (wanted: Wanted | undefined) => (wanted ? answers.get(nameOf(wanted)) : undefined);
  const current = all.filter((wanted) => !wanted.before);
  const colours = slots(current.map((wanted) => wanted.metricId), chosen);
  const metrics = new Set(current.map((wanted) => wanted.metricId)).size;
  const [first] = current.map(of);
  const series = current.map((wanted, index): Shown => {
    const answer = of(wanted);
    const earlier = of(all.find((other) => other.before && other.metricId === wanted.metricId && other.aggregation === wanted.aggregation));
    const points = (answer?.data?.points ?? []).map((point) => ({ ...point, value: point.value ?? null }));
    const before = (earlier?.data?.points ?? []).map((point) => ({ ...point, value: point.value ?? null }));
    const metricName = answer?.data?.metricName ?? wanted.metricId;
    // What all have in common stands in the title.
    const name = metrics === current.length ? metricName : metrics === 1 ? aggregationName(wanted.aggregation) : `${metricName} · ${aggregationName(wanted.aggregation)}`;
    return {
      metricId: wanted.metricId,
      metricName,
      aggregation: wanted.aggregation,
      name,
      unit: unitOf(wanted.aggregation, answer?.data?.unit ?? null),
      slot: colours[index] ?? 0,
      points,
      total: total(points, wanted.aggregation),
      before: total(before, wanted.aggregation),
      missing: answer?.error ? (answer.error.code === "not_found" ? `${wanted.metricId} has no points yet` : answer.error.message) : undefined,
    };
  });
  // Different metrics may be called the same.
  const names = new Map(series.map((one) => [one.name, one.metricId]));
  for (const one of series) {
    if (names.get(one.name) !== one.metricId) names.set(one.name, "");
  }
  for (const one of series) {
    if (names.get(one.name) === "") one.name = `${one.name} (${one.metricId})`;
  }
  return { start: first?.start ?? 0, end: first?.end ?? 0, series };
}
