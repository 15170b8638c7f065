import assert from "node:assert/strict";
import { test } from "vitest";
import { seriesKey, type SeriesResult } from "../../api/series.ts";
import type { Aggregation, Widget } from "../../api/types.ts";
import { buildWidgetData, widgetRequests } from "./widgetData.ts";

const widget = (...series: [string, Aggregation][]): Widget => ({
  id: "w1", type: "line", title: "", range: "24h", interval: "auto", x: 0, y: 0, w: 6, h: 6, series: series.map(([metricId, aggregation]) => ({ metricId, aggregation })),
});

/** Results in which all metrics have the same name. */
const resultsFor = (target: Widget, metricName: string) =>
  new Map(widgetRequests(target, undefined).map((request): [string, SeriesResult] => [
    seriesKey(request),
    { start: 0, end: 1, data: { metricId: request.metricId, metricName, unit: null, interval: "hour", aggregation: request.aggregation, timezone: "UTC", points: [], watermark: 0 } },
  ]));
const names = (target: Widget) => buildWidgetData(target, undefined, resultsFor(target, "Visits"))?.series.map((series) => series.name);

test("series names differ by aggregation, or by id for equal names", () => {
  assert.deepEqual(names(widget(["a", "avg"])), ["Visits"]);
  assert.deepEqual(names(widget(["a", "avg"], ["a", "max"])), ["Average", "Maximum"]);
  assert.deepEqual(names(widget(["a", "avg"], ["a", "max"], ["b", "avg"])), ["Visits · Average (a)", "Visits · Maximum", "Visits · Average (b)"]);
  assert.deepEqual(names(widget(["a", "avg"], ["b", "avg"])), ["Visits (a)", "Visits (b)"]);
});

test("widget has no data until all results have arrived", () => {
  const target = widget(["a", "avg"], ["b", "avg"]);
  const partial = resultsFor(target, "Visits");
  partial.delete([...partial.keys()][0] ?? "");
  assert.equal(buildWidgetData(target, undefined, partial), undefined);
});
