import { memo } from "react";
import type { Widget } from "../../api/types.ts";
import { Chart, Legend } from "../../chart/Chart.tsx";
import { colour } from "../../chart/palette.ts";
import { Sparkline } from "../../chart/Sparkline.tsx";
import { aggregationLabel } from "../../format/aggregations.ts";
import { formatChange, formatValue, formatValueWithin } from "../../format/numbers.ts";
import { formatDateTime } from "../../format/times.ts";
import type { WidgetData, WidgetSeriesData } from "./widgetData.ts";
import { Gauge } from "./Gauge.tsx";

interface Props {
  widget: Widget;
  content: WidgetData;
  group?: string;
  onZoom?: (start: number, end: number) => void;
}

/** Content of a widget without its frame. */
export const WidgetBody = memo(function WidgetBody({ widget, content, group, onZoom }: Props) {
  const { series, start, end } = content;
  const [first] = series;
  if (!first || series.every((item) => item.points.length === 0)) {
    const reason = first?.emptyReason ?? "No points in this range";
    return <div className="widget-empty"><p>{reason}</p></div>;
  }
  switch (widget.type) {
    case "number":
      return <NumberBody item={first} content={content} />;
    case "gauge":
      return <Gauge item={first} />;
    case "table":
      return series.length > 1 ? <SeriesTable series={series} /> : <BucketTable item={first} />;
    default:
      return (
        <>
          {series.length > 1 && <Legend series={series} />}
          <Chart kind={widget.type} series={series} start={start} end={end} group={group} onZoom={onZoom} />
        </>
      );
  }
});

function NumberBody({ item, content }: { item: WidgetSeriesData; content: WidgetData }) {
  const change = formatChange(item.value, item.previousValue);
  return (
    <div className="number">
      <div className="number-values">
        <span className="number-value" title={formatValue(item.value, item.unit)}>{formatValueWithin(12, item.value, item.unit)}</span>
        {change && <span className="number-change" title={`Previous period: ${formatValue(item.previousValue, item.unit)}`}><span className="sr-only">Compared with the previous period: </span>{change}</span>}
      </div>
      <div className="number-spark"><Sparkline points={item.points} slot={item.slot} start={content.start} end={content.end} /></div>
    </div>
  );
}

function SeriesTable({ series }: { series: WidgetSeriesData[] }) {
  return (
    <div className="widget-table" tabIndex={0} role="group" aria-label="Table">
      <table className="table">
        <thead><tr><th>Series</th><th className="right">Value</th><th className="right">Change</th></tr></thead>
        <tbody>
          {series.map((item, index) => (
            <tr key={`${index} ${item.name}`}>
              <td><span className="row-tight"><span className="legend-dot" style={{ background: colour(item.slot) }} />{item.name}</span></td>
              <td className="right">{formatValue(item.value, item.unit)}</td>
              <td className="right muted">{formatChange(item.value, item.previousValue) ?? "–"}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function BucketTable({ item }: { item: WidgetSeriesData }) {
  return (
    <div className="widget-table" tabIndex={0} role="group" aria-label="Table">
      <table className="table">
        <thead><tr><th>Time</th><th className="right">{aggregationLabel(item.aggregation)}</th></tr></thead>
        <tbody>
          {item.points.toReversed().map((point) => (
            <tr key={point.timestamp}><td className="numeric">{formatDateTime(point.timestamp)}</td><td className="right">{formatValue(point.value, item.unit)}</td></tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
