import { colour } from "../../chart/palette.ts";
import { formatValue, formatWithin } from "../../format/numbers.ts";
import type { Shown } from "./data.ts";
import { gaugeEnds } from "./gauge.ts";

const RADIUS = 80;
const LENGTH = Math.PI * RADIUS;

/** A half circle that is filled as far as the value is. */
export function Gauge({ one }: { one: Shown }) {
  const { low, high } = gaugeEnds(one.unit, [one.total, ...one.points.map((point) => point.value)]);
  const share = one.total === null ? 0 : Math.min(1, Math.max(0, (one.total - low) / (high - low)));
  const arc = `M20 100A${RADIUS} ${RADIUS} 0 0 1 180 100`;
  const value = formatValue(one.total, one.unit);
  const shown = formatWithin(9, one.total, one.unit);
  const [from, to] = [low, high].map((end) => formatValue(end, one.unit, { compact: true }));
  return (
    <div className="gauge">
      <svg viewBox="0 0 200 122" role="img" aria-label={`${one.name}: ${value}, between ${from} and ${to}`}>
        <path d={arc} className="gauge-track" />
        {share > 0 && <path d={arc} className="gauge-arc" stroke={colour(one.slot)} strokeDasharray={`${share * LENGTH} ${LENGTH * 2}`} />}
        <text x="100" y="94" textAnchor="middle" className="gauge-value" fontSize={Math.min(25, 220 / shown.length)}><title>{value}</title>{shown}</text>
        <text x="20" y="119" textAnchor="middle" className="gauge-ends">{from}</text>
        <text x="180" y="119" textAnchor="middle" className="gauge-ends">{to}</text>
      </svg>
    </div>
  );
}
