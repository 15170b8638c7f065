/** What ECharts is told. */

import type { EChartsCoreOption } from "echarts/core";
import { formatValue } from "../format/numbers.ts";
import type { ChartProps, ChartSeries } from "./model.ts";

export interface Theme {
  text: string;
  quiet: string;
  line: string;
  strong: string;
  surface: string;
  bad: string;
  accent: string;
  series: string[];
}

/** So many points are drawn as dots too; of more only the line. */
const DOTS = 40;

export function option(props: ChartProps, theme: Theme, tooltip: (moment: number) => HTMLElement): EChartsCoreOption {
  const { kind, series, start, end, threshold, marked, onZoom } = props;
  const units = new Set(series.map((one) => one.unit));
  const unit = units.size === 1 ? (series[0]?.unit ?? null) : null;
  // Lengths of bars and areas mean something only from zero.
  const scale = kind === "line";
  const digits = scale ? digitsOf(series, threshold) : undefined;
  // A bar stands on its bucket's start: half of it would be cut off at the ends.
  const half = kind === "bar" ? bucketOf(series, end - start) / 2 : 0;
  return {
    animation: false,
    // The bottom holds the times, the left the values: both are measured.
    grid: { left: 4, right: 14, top: 14, bottom: 2, outerBoundsMode: "same", outerBoundsContain: "axisLabel" },
    textStyle: { fontFamily: '"Inter Variable", system-ui, sans-serif' },
    xAxis: {
      type: "time",
      min: start - half,
      max: end + half,
      // The range is what it is, also where bars are as wide as their bucket.
      containShape: false,
      axisLine: { lineStyle: { color: theme.strong } },
      axisTick: { show: false },
      axisLabel: { color: theme.quiet, hideOverlap: true, fontSize: 11, formatter: timeLabel(start, end) },
      splitLine: { show: false },
      axisPointer: { type: "line", lineStyle: { color: theme.quiet, type: "dashed" }, label: { show: false }, snap: true },
    },
    yAxis: {
      type: "value",
      scale,
      splitNumber: 4,
      axisLabel: { color: theme.quiet, fontSize: 11, formatter: (value: number) => formatValue(value, unit, { compact: true, digits }) },
      splitLine: { lineStyle: { color: theme.line } },
    },
    tooltip: {
      trigger: "axis",
      confine: true,
      appendTo: undefined,
      className: "chart-tip",
      borderWidth: 0,
      padding: 0,
      backgroundColor: "transparent",
      extraCssText: "box-shadow: none",
      transitionDuration: 0,
      formatter: (items: unknown) => tooltip(momentOf(items)),
    },
    brush: onZoom
      ? { xAxisIndex: 0, brushStyle: { color: `${theme.accent}22`, borderColor: theme.accent, borderWidth: 1 }, toolbox: [], throttleType: "debounce", throttleDelay: 0 }
      : undefined,
    series: [
      ...series.map((one, index) => ({ ...shape(kind, one, theme), ...(index === 0 ? marks(marked, theme) : {}) })),
      ...(threshold === undefined ? [] : [limit(threshold, start, end, theme)]),
    ],
  };
}

function shape(kind: ChartProps["kind"], one: ChartSeries, theme: Theme) {
  const colour = theme.series[one.slot % theme.series.length] ?? theme.accent;
  const data = one.points.map((point) => [point.timestamp, point.value]);
  const common = { name: one.name, data, itemStyle: { color: colour }, emphasis: { disabled: true } };
  if (kind === "bar") {
    return { ...common, type: "bar", stack: one.stack, barMaxWidth: 26, barMinHeight: 1, itemStyle: { color: colour, borderRadius: one.stack ? 0 : [2, 2, 0, 0] } };
  }
  return {
    ...common,
    type: "line",
    showSymbol: one.points.length <= DOTS,
    symbol: "circle",
    symbolSize: one.points.length === 1 ? 8 : 5,
    lineStyle: { width: 2, color: colour },
    areaStyle: kind === "area" ? { color: colour, opacity: 0.16 } : undefined,
    connectNulls: false,
  };
}

/** A line at the threshold. It is a series, so that the axis reaches it. */
function limit(threshold: number, start: number, end: number, theme: Theme) {
  return {
    type: "line",
    silent: true,
    symbol: "none",
    lineStyle: { color: theme.bad, type: "dashed", width: 1.5 },
    data: [[start, threshold], [end, threshold]],
  };
}

function marks(marked: ChartProps["marked"], theme: Theme) {
  return {
    markArea: marked?.length
      ? { silent: true, itemStyle: { color: theme.bad, opacity: 0.13 }, data: marked.map(({ start, end }) => [{ xAxis: start }, { xAxis: end }]) }
      : undefined,
  };
}

/** Values that hardly differ need more digits, or the axis says the same at every line. */
export function digitsOf(series: ChartSeries[], threshold?: number): number | undefined {
  const values = series.flatMap((one) => one.points.map((point) => point.value)).filter((value) => value !== null);
  if (threshold !== undefined) values.push(threshold);
  const [low, high] = values.reduce(([low, high], value) => [Math.min(low, value), Math.max(high, value)], [Infinity, -Infinity]);
  const most = Math.max(Math.abs(low), Math.abs(high));
  if (!(high > low)) return undefined;
  // Lines are about a quarter of the range apart.
  const needed = Math.floor(Math.log10(most)) - Math.floor(Math.log10((high - low) / 4)) + 1;
  return needed > 3 ? Math.min(needed, 12) : undefined;
}

/** How long buckets are: the shortest distance of two, a day at most. One alone tells nothing: it gets a narrow place. */
export function bucketOf(series: ChartSeries[], range: number): number {
  const DAY = 86_400_000;
  const starts = [...new Set(series.flatMap((one) => one.points.map((point) => point.timestamp)))].sort((a, b) => a - b);
  const distances = starts.slice(1).map((start, index) => start - (starts[index] ?? start));
  return distances.reduce((least, distance) => Math.min(least, distance), distances.length ? DAY : Math.min(DAY, range / 24));
}

function momentOf(items: unknown): number {
  const first = Array.isArray(items) ? items[0] : items;
  const value = (first as { axisValue?: unknown } | undefined)?.axisValue;
  return typeof value === "number" ? value : 0;
}

/** Times as the reader's locale has them, as exact as the range asks for. */
export function timeLabel(start: number, end: number): (at: number) => string {
  const DAY = 86_400_000;
  const length = end - start;
  const time = new Intl.DateTimeFormat(undefined, length < 5 * 60_000 ? { timeStyle: "medium" } : { timeStyle: "short" });
  const day = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric" });
  if (length > 3 * DAY) return (at) => day.format(at);
  return (at) => {
    const moment = new Date(at);
    return moment.getHours() === 0 && moment.getMinutes() === 0 && moment.getSeconds() === 0 ? day.format(at) : time.format(at);
  };
}
