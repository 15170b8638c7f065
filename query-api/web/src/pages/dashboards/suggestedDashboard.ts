/** Suggests a dashboard for the metrics of the project. */

import type { Metric, Widget, WidgetType } from "../../api/types.ts";
import { firstFreeRect, defaultSize } from "./layout.ts";

const MAX_METRICS = 6;
const MAX_NUMBER_WIDGETS = 4;

/** Returns the metrics that the suggestion shows: the most recently received ones. */
export function suggestedMetrics(metrics: Metric[]): Metric[] {
  return [...metrics].sort((a, b) => b.lastSeenAt - a.lastSeenAt).slice(0, MAX_METRICS);
}

/** Returns the widgets of the suggestion: numbers at the top, and a chart for each metric below. */
export function suggestedWidgets(metrics: Metric[]): Widget[] {
  const chosen = suggestedMetrics(metrics);
  const widgets: Widget[] = [];
  const add = (type: WidgetType, metric: Metric, size = defaultSize(type)) => {
    widgets.push({
      id: `w${widgets.length + 1}`,
      type,
      title: metric.metricName,
      series: [{ metricId: metric.metricId, aggregation: aggregationFor(metric, type) }],
      range: "24h",
      interval: "auto",
      ...firstFreeRect(widgets, size),
    });
  };
  const numbers = chosen.slice(0, MAX_NUMBER_WIDGETS);
  for (const metric of numbers) add("number", metric, { w: Math.max(3, Math.floor(12 / numbers.length)), h: 3 });
  for (const metric of chosen) add(isCount(metric) ? "bar" : "line", metric, { w: chosen.length === 1 ? 12 : 6, h: 6 });
  return widgets;
}

/** Counts and amounts of money are summed, measurements are averaged. */
function aggregationFor(metric: Metric, type: WidgetType) {
  if (isCount(metric)) return "sum";
  return type === "number" ? "last" : "avg";
}

const isCount = ({ unit }: Metric): boolean => unit === null || unit === "count" || /^[A-Z]{3}$/.test(unit);
