import { useMemo } from "react";
import { Chart } from "../../chart/Chart.tsx";
import { colour } from "../../chart/palette.ts";
import { formatCount } from "../../format/numbers.ts";
import { bounds } from "../../format/range.ts";
import { Empty } from "../../ui/states.tsx";
import { bars, outcomeName, outcomeSlot, totals, type UsageItem } from "./outcomes.ts";
import { bucketMs, type UsageSpan } from "./query.ts";

/** Requests over time by how they ended, with their sums. */
export function Outcomes({ items, span }: { items: UsageItem[]; span: UsageSpan }) {
  const series = useMemo(() => bars(items), [items]);
  const sums = useMemo(() => totals(items), [items]);
  const range = useMemo(() => {
    const { start, end } = bounds(span, Date.now());
    const width = bucketMs(span);
    // The first and the last bar are not cut off.
    return { start: Math.floor(start / width) * width - width / 2, end };
    // The range moves on with the items.
  }, [items, span]);
  if (sums.length === 0) return <Empty title="No requests in this time" />;
  return (
    <>
      <Chart kind="bar" series={series} start={range.start} end={range.end} height={220} />
      <ul className="sums">
        {sums.map(({ outcome, requests, metrics }) => (
          <li key={outcome}>
            <span className="legend-dot" style={{ background: colour(outcomeSlot(outcome)) }} />
            <span className="sum-name">{outcomeName(outcome)}{!["accepted", "replayed"].includes(outcome) && <code className="quiet small"> {outcome}</code>}</span>
            <strong className="numeric">{formatCount(requests)}</strong>
            <span className="quiet small numeric sum-metrics">{metrics > 0 ? `${formatCount(metrics)} metrics` : ""}</span>
          </li>
        ))}
      </ul>
    </>
  );
}
