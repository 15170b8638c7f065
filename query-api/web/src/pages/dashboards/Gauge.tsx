import { colour } from "../../chart/palette.ts";
import { formatValue, formatValueWithin } from "../../format/numbers.ts";
import type { WidgetSeriesData } from "./widgetData.ts";
import { gaugeRange } from "./gaugeRange.ts";

const RADIUS = 80;
const LENGTH = Math.PI * RADIUS;

/** Gauge widget: a half circle that is filled in proportion to the value. */
export function Gauge({ item }: { item: WidgetSeriesData }) {
  const { low, high } = gaugeRange(item.unit, [item.value, ...item.points.map((point) => point.value)]);
  const share = item.value === null ? 0 : Math.min(1, Math.max(0, (item.value - low) / (high - low)));
  const arc = `M20 100A${RADIUS} ${RADIUS} 0 0 1 180 100`;
  const value = formatValue(item.value, item.unit);
  const label = formatValueWithin(9, item.value, item.unit);
  const [from, to] = [low, high].map((end) => formatValue(end, item.unit, { compact: true }));
  return (
    <div className="gauge">
      <svg viewBox="0 0 200 122" role="img" aria-label={`${item.name}: ${value}, between ${from} and ${to}`}>
        <path d={arc} className="gauge-track" />
        {share > 0 && <path d={arc} className="gauge-arc" stroke={colour(item.slot)} strokeDasharray={`${share * LENGTH} ${LENGTH * 2}`} />}
        <text x="100" y="94" textAnchor="middle" className="gauge-value" fontSize={Math.min(25, 220 / label.length)}><title>{value}</title>{label}</text>
        <text x="20" y="119" textAnchor="middle" className="gauge-ends">{from}</text>
        <text x="180" y="119" textAnchor="middle" className="gauge-ends">{to}</text>
      </svg>
    </div>
  );
}
