import type { ChartPoint } from "./types.ts";
import { colour } from "./palette.ts";

const WIDTH = 200;
const HEIGHT = 40;

/** Small line chart without axes or labels. */
export function Sparkline({ points, slot, start, end }: { points: ChartPoint[]; slot: number; start: number; end: number }) {
  const present = points.filter((point): point is { timestamp: number; value: number } => point.value !== null);
  if (present.length < 2) return null;
  const values = present.map((point) => point.value);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const x = (timestamp: number) => ((timestamp - start) / (end - start || 1)) * WIDTH;
  const y = (value: number) => HEIGHT - 3 - ((value - low) / (high - low || 1)) * (HEIGHT - 6);
  const line = present.map((point, index) => `${index ? "L" : "M"}${x(point.timestamp).toFixed(1)} ${y(point.value).toFixed(1)}`).join("");
  const [first, last] = [present[0], present[present.length - 1]];
  const area = first && last ? `${line}L${x(last.timestamp).toFixed(1)} ${HEIGHT}L${x(first.timestamp).toFixed(1)} ${HEIGHT}Z` : "";
  return (
    <svg className="sparkline" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" aria-hidden="true" focusable="false">
      <path d={area} fill={colour(slot)} fillOpacity="0.13" />
      <path d={line} fill="none" stroke={colour(slot)} strokeWidth="2" vectorEffect="non-scaling-stroke" strokeLinejoin="round" />
    </svg>
  );
}
