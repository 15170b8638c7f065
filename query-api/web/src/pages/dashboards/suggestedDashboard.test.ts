import assert from "node:assert/strict";
import { test } from "vitest";
import type { Metric } from "../../api/types.ts";
import { COLUMNS, overlaps } from "./layout.ts";
import { suggestedWidgets, suggestedMetrics } from "./suggestedDashboard.ts";

const metric = (index: number, unit: string | null = "count"): Metric => ({
  metricId: `m${index}`, metricName: `M ${index}`, unit, firstSeenAt: 0, lastSeenAt: index, lastValue: index, points: 1,
});

test("suggested widgets fit the grid for any number of metrics", () => {
  for (const count of [1, 2, 3, 4, 7, 50]) {
    const widgets = suggestedWidgets(Array.from({ length: count }, (_, index) => metric(index)));
    assert.ok(widgets.length > 0 && widgets.every((widget) => widget.x + widget.w <= COLUMNS));
    assert.ok(!widgets.some((widget, index) => widgets.slice(index + 1).some((other) => overlaps(widget, other))), String(count));
    assert.equal(new Set(widgets.map((widget) => widget.id)).size, widgets.length);
  }
});

test("most recently received metrics are suggested", () => {
  assert.deepEqual(suggestedMetrics(Array.from({ length: 9 }, (_, index) => metric(index))).map((suggested) => suggested.metricId), ["m8", "m7", "m6", "m5", "m4", "m3"]);
});

test("counts are summed and measurements are averaged", () => {
  assert.deepEqual(suggestedWidgets([metric(1, "USD")]).map((widget) => widget.series[0]?.aggregation), ["sum", "sum"]);
  assert.deepEqual(suggestedWidgets([metric(1, "ms")]).map((widget) => widget.series[0]?.aggregation), ["last", "avg"]);
});
