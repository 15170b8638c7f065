/** Series requests of widgets, and the data that widgets show. */

import { seriesKey, type SeriesResult, type SeriesRequest } from "../../api/series.ts";
import type { Aggregation, Interval, Widget } from "../../api/types.ts";
import type { ChartSeries } from "../../chart/types.ts";
import { COLOUR_COUNT, paletteSlots } from "../../chart/palette.ts";
import { aggregateBuckets } from "../../chart/aggregate.ts";
import { aggregationLabel, aggregatedUnit } from "../../format/aggregations.ts";
import type { Range } from "../../format/range.ts";

export interface WidgetSeriesData extends ChartSeries {
  metricId: string;
  metricName: string;
  aggregation: string;
  /** Aggregated value of the whole range. */
  value: number | null;
  /** Aggregated value of the previous period; only for numbers and tables. */
  previousValue: number | null;
  /** Reason if there are no points. */
  emptyReason?: string;
}

export interface WidgetData {
  start: number;
  end: number;
  series: WidgetSeriesData[];
}

const comparesWithPrevious = (type: string): boolean => type === "number" || type === "table";

/** Returns the series that a widget needs. `range` overrides the range of the widget. */
export function widgetRequests(widget: Widget, range: Range | undefined): SeriesRequest[] {
  return widget.series.flatMap((item) => {
    const request: SeriesRequest = {
      metricId: item.metricId,
      aggregation: item.aggregation as Aggregation,
      range: range ?? (widget.range as Range),
      interval: widget.interval as Interval,
    };
    return comparesWithPrevious(widget.type) ? [request, { ...request, previousPeriod: true }] : [request];
  });
}

/** Palette index by metric. A metric has the same colour in all widgets of a dashboard. */
export type ColourAssignment = Map<string, number>;

/** Assigns palette indices to the metrics of these widgets, in order of appearance. */
export function assignColours(widgets: Widget[]): ColourAssignment {
  const metrics = [...new Set(widgets.flatMap((widget) => widget.series.map((item) => item.metricId)))];
  return new Map(metrics.map((metric, index) => [metric, index % COLOUR_COUNT]));
}

/** Combines the results into the data of a widget; `undefined` while a result is missing. */
export function buildWidgetData(widget: Widget, range: Range | undefined, results: Map<string, SeriesResult> | undefined, assigned?: ColourAssignment): WidgetData | undefined {
  const requests = widgetRequests(widget, range);
  const found = requests.map((request) => results?.get(seriesKey(request)));
  if (found.some((series) => series === undefined) || !results) return undefined;
  const resultFor = (request: SeriesRequest | undefined) => (request ? results.get(seriesKey(request)) : undefined);
  const current = requests.filter((request) => !request.previousPeriod);
  const colours = paletteSlots(current.map((request) => request.metricId), assigned);
  const metrics = new Set(current.map((request) => request.metricId)).size;
  const [first] = current.map(resultFor);
  const series = current.map((request, index): WidgetSeriesData => {
    const result = resultFor(request);
    const previous = resultFor(requests.find((other) => other.previousPeriod && other.metricId === request.metricId && other.aggregation === request.aggregation));
    const points = (result?.data?.points ?? []).map((point) => ({ ...point, value: point.value ?? null }));
    const before = (previous?.data?.points ?? []).map((point) => ({ ...point, value: point.value ?? null }));
    const metricName = result?.data?.metricName ?? request.metricId;
    // The part of the name that all series share is left out, because the title shows it.
    const name = metrics === current.length ? metricName : metrics === 1 ? aggregationLabel(request.aggregation) : `${metricName} · ${aggregationLabel(request.aggregation)}`;
    return {
      metricId: request.metricId,
      metricName,
      aggregation: request.aggregation,
      name,
      unit: aggregatedUnit(request.aggregation, result?.data?.unit ?? null),
      slot: colours[index] ?? 0,
      points,
      value: aggregateBuckets(points, request.aggregation),
      previousValue: aggregateBuckets(before, request.aggregation),
      emptyReason: result?.error ? (result.error.code === "not_found" ? `${request.metricId} has no points yet` : result.error.message) : undefined,
    };
  });
  // Different metrics may have the same name; their ids are appended then.
  const metricByName = new Map(series.map((item) => [item.name, item.metricId]));
  for (const item of series) {
    if (metricByName.get(item.name) !== item.metricId) metricByName.set(item.name, "");
  }
  for (const item of series) {
    if (metricByName.get(item.name) === "") item.name = `${item.name} (${item.metricId})`;
  }
  return { start: first?.start ?? 0, end: first?.end ?? 0, series };
}
