/** Builds the ECharts option object of a chart. */

import type { EChartsCoreOption } from "echarts/core";
import { formatValue } from "../format/numbers.ts";
import type { ChartProps, ChartSeries } from "./types.ts";

export interface Theme {
  text: string;
  muted: string;
  line: string;
  strong: string;
  surface: string;
  bad: string;
  accent: string;
  series: string[];
}

/** Line charts with more points than this show no symbols. */
const MAX_POINTS_WITH_SYMBOLS = 40;

export function chartOption(props: ChartProps, theme: Theme, tooltip: (timestamp: number) => HTMLElement): EChartsCoreOption {
  const { kind, series, start, end, threshold, highlights, onZoom } = props;
  const units = new Set(series.map((item) => item.unit));
  const unit = units.size === 1 ? (series[0]?.unit ?? null) : null;
  // Only line charts may omit zero: the sizes of bars and areas are proportional to the value.
  const scale = kind === "line";
  const digits = scale ? axisDigits(series, threshold) : undefined;
  // Bars are centred on the start of their bucket. The padding keeps the first and the last bar visible.
  const half = kind === "bar" ? bucketWidth(series, end - start) / 2 : 0;
  return {
    animation: false,
    // ECharts measures the axis labels and reserves room for them.
    grid: { left: 4, right: 14, top: 14, bottom: 2, outerBoundsMode: "same", outerBoundsContain: "axisLabel" },
    textStyle: { fontFamily: '"Inter Variable", system-ui, sans-serif' },
    xAxis: {
      type: "time",
      min: start - half,
      max: end + half,
      // Keeps the axis at the requested range; ECharts would extend it to contain the bars.
      containShape: false,
      axisLine: { lineStyle: { color: theme.strong } },
      axisTick: { show: false },
      axisLabel: { color: theme.muted, hideOverlap: true, fontSize: 11, formatter: timeFormatter(start, end) },
      splitLine: { show: false },
      axisPointer: { type: "line", lineStyle: { color: theme.muted, type: "dashed" }, label: { show: false }, snap: true },
    },
    yAxis: {
      type: "value",
      scale,
      splitNumber: 4,
      axisLabel: { color: theme.muted, fontSize: 11, formatter: (value: number) => formatValue(value, unit, { compact: true, digits }) },
      splitLine: { lineStyle: { color: theme.line } },
    },
    tooltip: {
      trigger: "axis",
      confine: true,
      appendTo: undefined,
      className: "chart-tooltip",
      borderWidth: 0,
      padding: 0,
      backgroundColor: "transparent",
      extraCssText: "box-shadow: none",
      transitionDuration: 0,
      formatter: (items: unknown) => tooltip(axisTimestamp(items)),
    },
    brush: onZoom
      ? { xAxisIndex: 0, brushStyle: { color: `${theme.accent}22`, borderColor: theme.accent, borderWidth: 1 }, toolbox: [], throttleType: "debounce", throttleDelay: 0 }
      : undefined,
    series: [
      ...series.map((item, index) => ({ ...seriesOption(kind, item, theme), ...(index === 0 ? highlightOption(highlights, theme) : {}) })),
      ...(threshold === undefined ? [] : [thresholdOption(threshold, start, end, theme)]),
    ],
  };
}

function seriesOption(kind: ChartProps["kind"], item: ChartSeries, theme: Theme) {
  const colour = theme.series[item.slot % theme.series.length] ?? theme.accent;
  const data = item.points.map((point) => [point.timestamp, point.value]);
  const common = { name: item.name, data, itemStyle: { color: colour }, emphasis: { disabled: true } };
  if (kind === "bar") {
    return { ...common, type: "bar", stack: item.stack, barMaxWidth: 26, barMinHeight: 1, itemStyle: { color: colour, borderRadius: item.stack ? 0 : [2, 2, 0, 0] } };
  }
  return {
    ...common,
    type: "line",
    showSymbol: item.points.length <= MAX_POINTS_WITH_SYMBOLS,
    symbol: "circle",
    symbolSize: item.points.length === 1 ? 8 : 5,
    lineStyle: { width: 2, color: colour },
    areaStyle: kind === "area" ? { color: colour, opacity: 0.16 } : undefined,
    connectNulls: false,
  };
}

/** Draws the threshold as a series, so that the value axis includes it. */
function thresholdOption(threshold: number, start: number, end: number, theme: Theme) {
  return {
    type: "line",
    silent: true,
    symbol: "none",
    lineStyle: { color: theme.bad, type: "dashed", width: 1.5 },
    data: [[start, threshold], [end, threshold]],
  };
}

function highlightOption(marked: ChartProps["highlights"], theme: Theme) {
  return {
    markArea: marked?.length
      ? { silent: true, itemStyle: { color: theme.bad, opacity: 0.13 }, data: marked.map(({ start, end }) => [{ xAxis: start }, { xAxis: end }]) }
      : undefined,
  };
}

/**
 * Significant digits for the axis labels, if the default is too few: values that are close together would all get the
 * same label.
 */
export function axisDigits(series: ChartSeries[], threshold?: number): number | undefined {
  const values = series.flatMap((item) => item.points.map((point) => point.value)).filter((value) => value !== null);
  if (threshold !== undefined) values.push(threshold);
  const [low, high] = values.reduce(([low, high], value) => [Math.min(low, value), Math.max(high, value)], [Infinity, -Infinity]);
  const largest = Math.max(Math.abs(low), Math.abs(high));
  if (!(high > low)) return undefined;
  // The axis has about four intervals.
  const needed = Math.floor(Math.log10(largest)) - Math.floor(Math.log10((high - low) / 4)) + 1;
  return needed > 3 ? Math.min(needed, 12) : undefined;
}

/**
 * Bucket width in milliseconds: the shortest distance between two points, at most a day. A single point does not reveal
 * the width; it gets 1/24 of the range, at most a day.
 */
export function bucketWidth(series: ChartSeries[], range: number): number {
  const DAY = 86_400_000;
  const starts = [...new Set(series.flatMap((item) => item.points.map((point) => point.timestamp)))].sort((a, b) => a - b);
  const distances = starts.slice(1).map((start, index) => start - (starts[index] ?? start));
  return distances.reduce((least, distance) => Math.min(least, distance), distances.length ? DAY : Math.min(DAY, range / 24));
}

function axisTimestamp(items: unknown): number {
  const first = Array.isArray(items) ? items[0] : items;
  const value = (first as { axisValue?: unknown } | undefined)?.axisValue;
  return typeof value === "number" ? value : 0;
}

/**
 * Returns a formatter for axis labels in the user's locale: dates for ranges over three days, else times, with seconds for
 * ranges under five minutes.
 */
export function timeFormatter(start: number, end: number): (timestamp: number) => string {
  const DAY = 86_400_000;
  const length = end - start;
  const time = new Intl.DateTimeFormat(undefined, length < 5 * 60_000 ? { timeStyle: "medium" } : { timeStyle: "short" });
  const day = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric" });
  if (length > 3 * DAY) return (timestamp) => day.format(timestamp);
  return (timestamp) => {
    const date = new Date(timestamp);
    return date.getHours() === 0 && date.getMinutes() === 0 && date.getSeconds() === 0 ? day.format(timestamp) : time.format(timestamp);
  };
}
