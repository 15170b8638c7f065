import { useMemo } from "react";
import { Chart } from "../../chart/Chart.tsx";
import { colour } from "../../chart/palette.ts";
import { formatCount } from "../../format/numbers.ts";
import { rangeBounds } from "../../format/range.ts";
import { EmptyState } from "../../ui/feedback.tsx";
import { outcomeSeries, outcomeLabel, outcomeColourSlot, totalsByOutcome, type UsageItem } from "./outcomes.ts";
import { bucketMs, type UsageRange } from "./queries.ts";

/** Chart of requests by outcome, with totals. */
export function Outcomes({ items, period }: { items: UsageItem[]; period: UsageRange }) {
  const series = useMemo(() => outcomeSeries(items), [items]);
  const totals = useMemo(() => totalsByOutcome(items), [items]);
  const range = useMemo(() => {
    const { start, end } = rangeBounds(period, Date.now());
    const width = bucketMs(period);
    return { start: Math.floor(start / width) * width, end };
    // Recomputes the range whenever the items are refreshed.
  }, [items, period]);
  if (totals.length === 0) return <EmptyState title="No requests in this period" />;
  return (
    <>
      <Chart kind="bar" series={series} start={range.start} end={range.end} height={220} />
      <ul className="outcomes">
        {totals.map(({ outcome, requests, metrics }) => (
          <li key={outcome}>
            <span className="legend-dot" style={{ background: colour(outcomeColourSlot(outcome)) }} />
            <span className="outcome-name">{outcomeLabel(outcome)}{!["accepted", "replayed"].includes(outcome) && <code className="muted small"> {outcome}</code>}</span>
            <strong className="numeric">{formatCount(requests)}</strong>
            <span className="muted small numeric outcome-metrics">{metrics > 0 ? `${formatCount(metrics)} metrics` : ""}</span>
          </li>
        ))}
      </ul>
    </>
  );
}
