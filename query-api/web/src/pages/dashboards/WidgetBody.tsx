import { memo } from "react";
import type { Widget } from "../../api/types.ts";
import { Chart, Legend } from "../../chart/Chart.tsx";
import { colour } from "../../chart/palette.ts";
import { Sparkline } from "../../chart/Sparkline.tsx";
import { aggregationName } from "../../format/choices.ts";
import { formatChange, formatValue, formatWithin } from "../../format/numbers.ts";
import { formatDateTime } from "../../format/times.ts";
import type { Content, Shown } from "./data.ts";
import { Gauge } from "./Gauge.tsx";

interface Props {
  widget: Widget;
  content: Content;
  group?: string;
  onZoom?: (start: number, end: number) => void;
}

/** What a widget shows. */
export const WidgetBody = memo(function WidgetBody({ widget, content, group, onZoom }: Props) {
  const { series, start, end } = content;
  const [first] = series;
  if (!first || series.every((one) => one.points.length === 0)) {
    const reason = first?.missing ?? "No points in this range";
    return <div className="widget-empty"><p>{reason}</p></div>;
  }
  switch (widget.type) {
    case "number":
      return <NumberBody one={first} content={content} />;
    case "gauge":
      return <Gauge one={first} />;
    case "table":
      return series.length > 1 ? <SeriesTable series={series} /> : <BucketTable one={first} />;
    default:
      return (
        <>
          {series.length > 1 && <Legend series={series} />}
          <Chart kind={widget.type} series={series} start={start} end={end} group={group} onZoom={onZoom} />
        </>
      );
  }
});

function NumberBody({ one, content }: { one: Shown; content: Content }) {
  const change = formatChange(one.total, one.before);
  return (
    <div className="number">
      <div className="number-values">
        <span className="number-value" title={formatValue(one.total, one.unit)}>{formatWithin(12, one.total, one.unit)}</span>
        {change && <span className="number-change" title={`Before: ${formatValue(one.before, one.unit)}`}><span className="sr-only">Compared with the time before: </span>{change}</span>}
      </div>
      <div className="number-spark"><Sparkline points={one.points} slot={one.slot} start={content.start} end={content.end} /></div>
    </div>
  );
}

function SeriesTable({ series }: { series: Shown[] }) {
  return (
    <div className="widget-table" tabIndex={0} role="group" aria-label="Table">
      <table className="table">
        <thead><tr><th>Series</th><th className="right">Value</th><th className="right">Change</th></tr></thead>
        <tbody>
          {series.map((one, index) => (
            <tr key={`${index} ${one.name}`}>
              <td><span className="row-tight"><span className="legend-dot" style={{ background: colour(one.slot) }} />{one.name}</span></td>
              <td className="right">{formatValue(one.total, one.unit)}</td>
              <td className="right quiet">{formatChange(one.total, one.before) ?? "–"}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function BucketTable({ one }: { one: Shown }) {
  return (
    <div className="widget-table" tabIndex={0} role="group" aria-label="Table">
      <table className="table">
        <thead><tr><th>Time</th><th className="right">{aggregationName(one.aggregation)}</th></tr></thead>
        <tbody>
          {one.points.toReversed().map((point) => (
            <tr key={point.timestamp}><td className="numeric">{formatDateTime(point.timestamp)}</td><td className="right">{formatValue(point.value, one.unit)}</td></tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
