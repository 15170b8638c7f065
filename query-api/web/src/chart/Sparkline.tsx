import type { ChartPoint } from "./model.ts";
import { colour } from "./palette.ts";

const WIDTH = 200;
const HEIGHT = 40;

/** The shape of a series, without numbers. */
export function Sparkline({ points, slot, start, end }: { points: ChartPoint[]; slot: number; start: number; end: number }) {
  const known = points.filter((point): point is { timestamp: number; value: number } => point.value !== null);
  if (known.length < 2) return null;
  const values = known.map((point) => point.value);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const x = (at: number) => ((at - start) / (end - start || 1)) * WIDTH;
  const y = (value: number) => HEIGHT - 3 - ((value - low) / (high - low || 1)) * (HEIGHT - 6);
  const line = known.map((point, index) => `${index ? "L" : "M"}${x(point.timestamp).toFixed(1)} ${y(point.value).toFixed(1)}`).join("");
  const [first, last] = [known[0], known[known.length - 1]];
  const area = first && last ? `${line}L${x(last.timestamp).toFixed(1)} ${HEIGHT}L${x(first.timestamp).toFixed(1)} ${HEIGHT}Z` : "";
  return (
    <svg className="sparkline" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" aria-hidden="true" focusable="false">
      <path d={area} fill={colour(slot)} fillOpacity="0.13" />
      <path d={line} fill="none" stroke={colour(slot)} strokeWidth="2" vectorEffect="non-scaling-stroke" strokeLinejoin="round" />
    </svg>
  );
}
