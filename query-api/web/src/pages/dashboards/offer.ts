/** A first dashboard, made of what the catalogue has. */

import type { Metric, Widget, WidgetType } from "../../api/types.ts";
import { freePlace, sizeOf } from "./layout.ts";

const METRICS = 6;
const NUMBERS = 4;

/** The metrics that a first dashboard shows: those that came last. */
export function offered(metrics: Metric[]): Metric[] {
  return [...metrics].sort((a, b) => b.lastSeenAt - a.lastSeenAt).slice(0, METRICS);
}

/** Numbers at the top, a chart for each metric below. */
export function firstDashboard(metrics: Metric[]): Widget[] {
  const chosen = offered(metrics);
  const widgets: Widget[] = [];
  const add = (type: WidgetType, metric: Metric, size = sizeOf(type)) => {
    widgets.push({
      id: `w${widgets.length + 1}`,
      type,
      title: metric.metricName,
      series: [{ metricId: metric.metricId, aggregation: aggregationFor(metric, type) }],
      range: "24h",
      interval: "auto",
      ...freePlace(widgets, size),
    });
  };
  const numbers = chosen.slice(0, NUMBERS);
  for (const metric of numbers) add("number", metric, { w: Math.max(3, Math.floor(12 / numbers.length)), h: 3 });
  for (const metric of chosen) add(isCount(metric) ? "bar" : "line", metric, { w: chosen.length === 1 ? 12 : 6, h: 6 });
  return widgets;
}

/** Counts and money add up; what is measured has a mean. */
function aggregationFor(metric: Metric, type: WidgetType) {
  if (isCount(metric)) return "sum";
  return type === "number" ? "last" : "avg";
}

const isCount = ({ unit }: Metric): boolean => unit === null || unit === "count" || /^[A-Z]{3}$/.test(unit);
