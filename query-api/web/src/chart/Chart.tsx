import { lazy, Suspense } from "react";
import { formatValue } from "../format/numbers.ts";
import type { ChartProps, ChartSeries } from "./types.ts";
import { colour } from "./palette.ts";

const EChartsCanvas = lazy(() => import("./EChartsCanvas.tsx"));

/** Time chart. ECharts is a separate chunk, which is loaded when the first chart is shown. */
export function Chart({ height, ...props }: Omit<ChartProps, "label"> & { height?: number; label?: string }) {
  const label = props.label ?? describeSeries(props.series);
  return (
    <div className="chart" style={height ? { height } : undefined}>
      <Suspense fallback={<div className="skeleton chart-loading" />}>
        <EChartsCanvas {...props} label={label} />
      </Suspense>
    </div>
  );
}

export function Legend({ series }: { series: ChartSeries[] }) {
  return (
    <ul className="legend">
      {series.map((item, index) => (
        // The same series may be listed twice, so its name is not a unique key.
        <li key={`${index} ${item.name}`}>
          <span className="legend-dot" style={{ background: colour(item.slot) }} />
          <span className="legend-name">{item.name}</span>
        </li>
      ))}
    </ul>
  );
}

/** Summarizes the series in sentences, as the accessible name of a chart. */
export function describeSeries(series: ChartSeries[]): string {
  const sentences = series.map((item) => {
    const values = item.points.map((point) => point.value).filter((value) => value !== null);
    const last = values.at(-1);
    if (last === undefined) return `${item.name}: no points.`;
    const [low, high] = [Math.min(...values), Math.max(...values)].map((value) => formatValue(value, item.unit));
    return `${item.name}: ${values.length} values from ${low} to ${high}, latest ${formatValue(last, item.unit)}.`;
  });
  return sentences.join(" ");
}
