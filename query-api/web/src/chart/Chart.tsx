import { lazy, Suspense } from "react";
import { formatValue } from "../format/numbers.ts";
import type { ChartProps, ChartSeries } from "./model.ts";
import { colour } from "./palette.ts";

const Drawing = lazy(() => import("./Drawing.tsx"));

/** A chart over time. ECharts is loaded when the first one is shown. */
export function Chart({ height, ...props }: Omit<ChartProps, "label"> & { height?: number; label?: string }) {
  const label = props.label ?? describe(props.series);
  return (
    <div className="chart" style={height ? { height } : undefined}>
      <Suspense fallback={<div className="skeleton chart-waits" />}>
        <Drawing {...props} label={label} />
      </Suspense>
    </div>
  );
}

/** Which colour is what. */
export function Legend({ series }: { series: ChartSeries[] }) {
  return (
    <ul className="legend">
      {series.map((one, index) => (
        // The same series may be there twice.
        <li key={`${index} ${one.name}`}>
          <span className="legend-dot" style={{ background: colour(one.slot) }} />
          <span className="legend-name">{one.name}</span>
        </li>
      ))}
    </ul>
  );
}

/** What the chart shows, in a sentence. */
export function describe(series: ChartSeries[]): string {
  const sentences = series.map((one) => {
    const values = one.points.map((point) => point.value).filter((value) => value !== null);
    const last = values.at(-1);
    if (last === undefined) return `${one.name}: no points.`;
    const [low, high] = [Math.min(...values), Math.max(...values)].map((value) => formatValue(value, one.unit));
    return `${one.name}: ${values.length} values from ${low} to ${high}, the last ${formatValue(last, one.unit)}.`;
  });
  return sentences.join(" ");
}
