import assert from "node:assert/strict";
import { test } from "vitest";
import { nameOf, type Series } from "../../api/series.ts";
import type { Aggregation, Widget } from "../../api/types.ts";
import { contentOf, wantedBy } from "./data.ts";

const widget = (...series: [string, Aggregation][]): Widget => ({
  id: "w1", type: "line", title: "", range: "24h", interval: "auto", x: 0, y: 0, w: 6, h: 6, series: series.map(([metricId, aggregation]) => ({ metricId, aggregation })),
});

/** Answers in which every metric is called the same. */
const answers = (shown: Widget, metricName: string) =>
  new Map(wantedBy(shown, undefined).map((wanted): [string, Series] => [
    nameOf(wanted),
    { start: 0, end: 1, data: { metricId: wanted.metricId, metricName, unit: null, interval: "hour", aggregation: wanted.aggregation, timezone: "UTC", points: [], watermark: 0 } },
  ]));
const names = (shown: Widget) => contentOf(shown, undefined, answers(shown, "Visits"))?.series.map((one) => one.name);

test("series of a widget are told apart: by aggregation, and by id where metrics are called the same", () => {
  assert.deepEqual(names(widget(["a", "avg"])), ["Visits"]);
  assert.deepEqual(names(widget(["a", "avg"], ["a", "max"])), ["Average", "Maximum"]);
  assert.deepEqual(names(widget(["a", "avg"], ["a", "max"], ["b", "avg"])), ["Visits · Average (a)", "Visits · Maximum", "Visits · Average (b)"]);
  assert.deepEqual(names(widget(["a", "avg"], ["b", "avg"])), ["Visits (a)", "Visits (b)"]);
});

test("a widget shows nothing new before all its answers are there", () => {
  const shown = widget(["a", "avg"], ["b", "avg"]);
  const some = answers(shown, "Visits");
  some.delete([...some.keys()][0] ?? "");
  assert.equal(contentOf(shown, undefined, some), undefined);
});
