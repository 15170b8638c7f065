import { useEffect, useRef } from "react";
import { formatValue } from "../format/numbers.ts";
import { formatDateTime } from "../format/times.ts";
import { useThemeVersion } from "../shell/theme.tsx";
import { init, type ECharts } from "./echarts.ts";
import type { ChartProps } from "./types.ts";
import { chartOption, type Theme } from "./option.ts";
import { COLOUR_COUNT } from "./palette.ts";

/** Charts by group. The charts of a group show their axis pointers at the same time. */
const groups = new Map<string, Set<ECharts>>();

/** ECharts on a canvas. Screen readers get `label` as its description. */
export default function EChartsCanvas(props: ChartProps) {
  const container = useRef<HTMLDivElement>(null);
  const chart = useRef<ECharts>(undefined);
  const latest = useRef(props);
  latest.current = props;
  const theme = useThemeVersion();
  const { group } = props;

  useEffect(() => {
    if (!container.current) return;
    const instance = init(container.current);
    chart.current = instance;
    const observer = new ResizeObserver(() => instance.resize());
    observer.observe(container.current);
    instance.on("brushEnd", (event: unknown) => {
      const range = (event as { areas?: { coordRange?: [number, number] }[] }).areas?.[0]?.coordRange;
      instance.dispatchAction({ type: "brush", areas: [] });
      // A selection of 6 pixels or less is a click, not a zoom.
      if (range && instance.convertToPixel({ xAxisIndex: 0 }, range[1]) - instance.convertToPixel({ xAxisIndex: 0 }, range[0]) > 6) {
        latest.current.onZoom?.(Math.round(range[0]), Math.round(range[1]));
      }
    });
    return () => {
      observer.disconnect();
      instance.dispose();
      chart.current = undefined;
    };
  }, []);

  useEffect(() => {
    const current = chart.current;
    if (!group || !current) return;
    const members = groups.get(group) ?? new Set();
    groups.set(group, members.add(current));
    const syncGroup = (event: unknown) => {
      const axes = (event as { axesInfo?: { value: number }[] }).axesInfo;
      const timestamp = axes?.[0]?.value;
      for (const other of members) {
        if (other === current) continue;
        // The other charts show only the pointer line: a tooltip on each would hide their contents.
        if (timestamp === undefined) other.dispatchAction({ type: "updateAxisPointer", currTrigger: "leave" }, { silent: true });
        else other.dispatchAction({ type: "updateAxisPointer", x: other.convertToPixel({ xAxisIndex: 0 }, timestamp), y: 10 }, { silent: true });
      }
    };
    // Only the chart under the pointer updates the others.
    let isSource = false;
    const dom = current.getDom();
    const enter = () => { isSource = true; };
    const leave = () => { isSource = false; syncGroup({}); };
    const listener = (event: unknown) => { if (isSource) syncGroup(event); };
    dom.addEventListener("pointerenter", enter);
    dom.addEventListener("pointerleave", leave);
    current.on("updateAxisPointer", listener);
    return () => {
      dom.removeEventListener("pointerenter", enter);
      dom.removeEventListener("pointerleave", leave);
      members.delete(current);
    };
  }, [group]);

  useEffect(() => {
    const current = chart.current;
    if (!current) return;
    current.setOption(chartOption(props, readTheme(), (timestamp) => tooltip(latest.current, timestamp)), { replaceMerge: ["series"] });
    if (props.onZoom) {
      current.dispatchAction({ type: "takeGlobalCursor", key: "brush", brushOption: { brushType: "lineX", brushMode: "single" } });
    }
  }, [props, theme]);

  return <div ref={container} className="chart-canvas" role="img" aria-label={props.label} />;
}

function readTheme(): Theme {
  const style = getComputedStyle(document.documentElement);
  const read = (name: string) => style.getPropertyValue(`--${name}`).trim();
  return {
    text: read("text"),
    muted: read("text-muted"),
    line: read("line"),
    strong: read("line-strong"),
    surface: read("surface"),
    bad: read("bad"),
    accent: read("accent"),
    series: Array.from({ length: COLOUR_COUNT }, (_, slot) => read(`series-${slot + 1}`)),
  };
}

/** Builds the tooltip from elements, because the content security policy forbids markup with inline styles. */
function tooltip({ series }: ChartProps, timestamp: number): HTMLElement {
  const root = element("div", "tooltip");
  root.append(element("div", "tooltip-time", formatDateTime(timestamp)));
  for (const item of series) {
    const point = item.points.find((point) => point.timestamp === timestamp);
    if (!point) continue;
    const row = element("div", "tooltip-row");
    const dot = element("span", "tooltip-dot");
    dot.style.background = `var(--series-${item.slot + 1})`;
    row.append(dot, element("span", "tooltip-name", item.name), element("span", "tooltip-value", formatValue(point.value, item.unit)));
    root.append(row);
  }
  return root;
}

function element(tag: string, className: string, text = ""): HTMLElement {
  const node = document.createElement(tag);
  node.className = className;
  node.textContent = text;
  return node;
}
