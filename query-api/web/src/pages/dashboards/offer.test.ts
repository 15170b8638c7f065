import assert from "node:assert/strict";
import { test } from "vitest";
import type { Metric } from "../../api/types.ts";
import { COLUMNS, overlaps } from "./layout.ts";
import { firstDashboard, offered } from "./offer.ts";

const metric = (index: number, unit: string | null = "count"): Metric => ({
  metricId: `m${index}`, metricName: `M ${index}`, unit, firstSeenAt: 0, lastSeenAt: index, lastValue: index, points: 1,
});

test("a first dashboard fits the grid, however many metrics there are", () => {
  for (const count of [1, 2, 3, 4, 7, 50]) {
    const widgets = firstDashboard(Array.from({ length: count }, (_, index) => metric(index)));
    assert.ok(widgets.length > 0 && widgets.every((one) => one.x + one.w <= COLUMNS));
    assert.ok(!widgets.some((one, index) => widgets.slice(index + 1).some((other) => overlaps(one, other))), String(count));
    assert.equal(new Set(widgets.map((one) => one.id)).size, widgets.length);
  }
});

test("the metrics that came last are offered", () => {
  assert.deepEqual(offered(Array.from({ length: 9 }, (_, index) => metric(index))).map((one) => one.metricId), ["m8", "m7", "m6", "m5", "m4", "m3"]);
});

test("counts add up and measurements have a mean", () => {
  assert.deepEqual(firstDashboard([metric(1, "USD")]).map((one) => one.series[0]?.aggregation), ["sum", "sum"]);
  assert.deepEqual(firstDashboard([metric(1, "ms")]).map((one) => one.series[0]?.aggregation), ["last", "avg"]);
});
