import { useEffect, useRef } from "react";
import { formatValue } from "../format/numbers.ts";
import { formatDateTime } from "../format/times.ts";
import { useThemeVersion } from "../shell/theme.tsx";
import { init, type ECharts } from "./echarts.ts";
import type { ChartProps } from "./model.ts";
import { option, type Theme } from "./option.ts";
import { COLOURS } from "./palette.ts";

/** Charts by group: they show the same moment. */
const groups = new Map<string, Set<ECharts>>();

/** A chart on a canvas. For those who cannot see it there is a sentence, and a table nearby. */
export default function Drawing(props: ChartProps) {
  const box = useRef<HTMLDivElement>(null);
  const chart = useRef<ECharts>(undefined);
  const latest = useRef(props);
  latest.current = props;
  const theme = useThemeVersion();
  const { group } = props;

  useEffect(() => {
    if (!box.current) return;
    const made = init(box.current);
    chart.current = made;
    const observer = new ResizeObserver(() => made.resize());
    observer.observe(box.current);
    made.on("brushEnd", (event: unknown) => {
      const range = (event as { areas?: { coordRange?: [number, number] }[] }).areas?.[0]?.coordRange;
      made.dispatchAction({ type: "brush", areas: [] });
      // What is hardly wider than a click is one.
      if (range && made.convertToPixel({ xAxisIndex: 0 }, range[1]) - made.convertToPixel({ xAxisIndex: 0 }, range[0]) > 6) {
        latest.current.onZoom?.(Math.round(range[0]), Math.round(range[1]));
      }
    });
    return () => {
      observer.disconnect();
      made.dispose();
      chart.current = undefined;
    };
  }, []);

  useEffect(() => {
    const made = chart.current;
    if (!group || !made) return;
    const members = groups.get(group) ?? new Set();
    groups.set(group, members.add(made));
    const follow = (event: unknown) => {
      const axes = (event as { axesInfo?: { value: number }[] }).axesInfo;
      const at = axes?.[0]?.value;
      for (const other of members) {
        if (other === made) continue;
        // Only the line, silently: each tip would hide something.
        if (at === undefined) other.dispatchAction({ type: "updateAxisPointer", currTrigger: "leave" }, { silent: true });
        else other.dispatchAction({ type: "updateAxisPointer", x: other.convertToPixel({ xAxisIndex: 0 }, at), y: 10 }, { silent: true });
      }
    };
    // Only the chart under the pointer leads.
    let leads = false;
    const dom = made.getDom();
    const enter = () => { leads = true; };
    const leave = () => { leads = false; follow({}); };
    const listener = (event: unknown) => { if (leads) follow(event); };
    dom.addEventListener("pointerenter", enter);
    dom.addEventListener("pointerleave", leave);
    made.on("updateAxisPointer", listener);
    return () => {
      dom.removeEventListener("pointerenter", enter);
      dom.removeEventListener("pointerleave", leave);
      members.delete(made);
    };
  }, [group]);

  useEffect(() => {
    const made = chart.current;
    if (!made) return;
    made.setOption(option(props, readTheme(), (moment) => tip(latest.current, moment)), { notMerge: true });
    if (props.onZoom) {
      made.dispatchAction({ type: "takeGlobalCursor", key: "brush", brushOption: { brushType: "lineX", brushMode: "single" } });
    }
  }, [props, theme]);

  return <div ref={box} className="drawing" role="img" aria-label={props.label} />;
}

function readTheme(): Theme {
  const style = getComputedStyle(document.documentElement);
  const read = (name: string) => style.getPropertyValue(`--${name}`).trim();
  return {
    text: read("text"),
    quiet: read("quiet"),
    line: read("line"),
    strong: read("line-strong"),
    surface: read("surface"),
    bad: read("bad"),
    accent: read("accent"),
    series: Array.from({ length: COLOURS }, (_, slot) => read(`series-${slot + 1}`)),
  };
}

/** The values at a moment. It is made of elements, for markup with styles is forbidden by the page's policy. */
function tip({ series }: ChartProps, moment: number): HTMLElement {
  const root = element("div", "tip");
  root.append(element("div", "tip-time", formatDateTime(moment)));
  for (const one of series) {
    const point = one.points.find((point) => point.timestamp === moment);
    if (!point) continue;
    const row = element("div", "tip-row");
    const dot = element("span", "tip-dot");
    dot.style.background = `var(--series-${one.slot + 1})`;
    row.append(dot, element("span", "tip-name", one.name), element("span", "tip-value", formatValue(point.value, one.unit)));
    root.append(row);
  }
  return root;
}

function element(tag: string, className: string, text = ""): HTMLElement {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  return made;
}
