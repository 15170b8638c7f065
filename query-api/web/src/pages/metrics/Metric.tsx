import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useMemo, useState } from "react";
import { useParams, useSearchParams } from "react-router";
import { metricQuery, useCanManage } from "../../api/queries.ts";
import { seriesKey, seriesQuery, type SeriesRequest } from "../../api/series.ts";
import type { Aggregation, Interval, Metric } from "../../api/types.ts";
import { Chart } from "../../chart/Chart.tsx";
import { paletteSlots } from "../../chart/palette.ts";
import { aggregateBuckets } from "../../chart/aggregate.ts";
import { AGGREGATIONS, aggregationLabel, INTERVALS, isAggregation, isInterval, isPercentile, aggregatedUnit } from "../../format/aggregations.ts";
import { formatCount, formatValue } from "../../format/numbers.ts";
import { isPreset, rangeFromParams, rangeToParams, type Range } from "../../format/range.ts";
import { formatDate } from "../../format/times.ts";
import { useIsLive, useLiveRefresh } from "../../live/hooks.ts";
import { Button, ButtonLink } from "../../ui/Button.tsx";
import { SmallSelect } from "../../ui/Field.tsx";
import { BellIcon, DownloadIcon, MoreIcon, TrashIcon, ZoomOutIcon } from "../../ui/icons.tsx";
import { Menu } from "../../ui/Menu.tsx";
import { Card, Page } from "../../ui/Page.tsx";
import { RangePicker } from "../../ui/RangePicker.tsx";
import { Badge, EmptyState, ErrorState, Skeleton } from "../../ui/feedback.tsx";
import { RelativeTime } from "../../ui/RelativeTime.tsx";
import { downloadCsv } from "./csv.ts";
import { DeleteMetric } from "./DeleteMetric.tsx";
import { Points } from "./Points.tsx";

const BACK = { to: "/metrics", label: "Metrics" };

/** Page of a metric: details, chart and points. */
export function MetricPage() {
  const { metricId = "" } = useParams();
  const metric = useQuery(metricQuery(metricId));
  const manage = useCanManage();
  const client = useQueryClient();
  useLiveRefresh([metricId], () => {
    void client.invalidateQueries({ queryKey: ["metrics", metricId] });
    void client.invalidateQueries({ queryKey: ["series"] });
    void client.invalidateQueries({ queryKey: ["points", metricId] });
  });
  if (metric.isPending) return <Page title={metricId} back={BACK}><Skeleton rows={2} tall /></Page>;
  if (metric.isError) return <Page title={metricId} back={BACK}><ErrorState error={metric.error} onRetry={() => metric.refetch()} /></Page>;
  const details = metric.data;
  return (
    <Page title={details.metricName} back={BACK} description={<code>{details.metricId}</code>}
      heading={<span className="row">{details.metricName} <LiveBadge /></span>}
      actions={manage && <Actions metric={details} />}>
      <Card label="Metric details">
        <dl className="facts">
          <div><dt>Last value</dt><dd className="fact-large numeric">{formatValue(details.lastValue, details.unit)}</dd></div>
          <div><dt>Last received</dt><dd><RelativeTime at={details.lastSeenAt} /></dd></div>
          <div><dt>Points</dt><dd className="numeric">{formatCount(details.points)}</dd></div>
          <div><dt>Unit</dt><dd>{details.unit ?? <span className="muted">None</span>}</dd></div>
          <div><dt>First received</dt><dd>{formatDate(details.firstSeenAt)}</dd></div>
        </dl>
      </Card>
      <TimeSeriesCard metricId={details.metricId} unit={details.unit} name={details.metricName} />
      <Points metricId={details.metricId} unit={details.unit} />
    </Page>
  );
}

function Actions({ metric }: { metric: Metric }) {
  const [deleting, setDeleting] = useState(false);
  return (
    <>
      <ButtonLink to={`/alerts/new?metric=${encodeURIComponent(metric.metricId)}`} icon={<BellIcon />}>Create alert</ButtonLink>
      <Menu className="button button-icon-only" label="More actions" button={<MoreIcon />} items={[
        { label: "Delete", icon: <TrashIcon />, danger: true, onSelect: () => setDeleting(true) },
      ]} />
      {deleting && <DeleteMetric metric={metric} onClose={() => setDeleting(false)} />}
    </>
  );
}

function LiveBadge() {
  return useIsLive() ? <Badge kind="good">Live</Badge> : null;
}

function TimeSeriesCard({ metricId, unit, name }: { metricId: string; unit: string | null; name: string }) {
  const [params, setParams] = useSearchParams();
  const range: Range = rangeFromParams(params) ?? "24h";
  const [aggregationParam, intervalParam] = [params.get("aggregation"), params.get("interval")];
  const aggregation: Aggregation = isAggregation(aggregationParam) ? aggregationParam : "avg";
  const interval: Interval = isInterval(intervalParam) ? intervalParam : "auto";
  const request: SeriesRequest = { metricId, aggregation, range, interval };
  const series = useQuery(seriesQuery([request]));
  const result = series.data?.get(seriesKey(request)) ?? series.data?.values().next().value;
  const slot = paletteSlots([metricId])[0] ?? 0;
  const chartSeries = useMemo(
    () => (result?.data ? [{ name, unit: aggregatedUnit(result.data.aggregation, unit), slot, points: result.data.points.map(({ timestamp, value }) => ({ timestamp, value: value ?? null })) }] : []),
    [result, name, unit, slot],
  );
  const setParam = (name: string, value: string) => {
    const next = new URLSearchParams(params);
    next.set(name, value);
    setParams(next, { replace: true });
  };
  const zoom = (startDate: number, endDate: number) => setParams(rangeToParams(params, { startDate, endDate }));
  const points = result?.data?.points ?? [];
  const rangeValue = aggregateBuckets(points.map((point) => ({ ...point, value: point.value ?? null })), aggregation);
  return (
    <Card label="Chart">
      <div className="toolbar gap">
        <RangePicker value={range} onChange={(range) => setParams(rangeToParams(params, range))} />
        {!isPreset(range) && <Button small variant="quiet" icon={<ZoomOutIcon size={16} />} onClick={() => setParams(rangeToParams(params, undefined))}>Reset zoom</Button>}
        <span className="push-right row">
          <SmallSelect label="Aggregation" options={AGGREGATIONS} value={aggregation} onChange={(event) => setParam("aggregation", event.target.value)} />
          <SmallSelect label="Interval" options={INTERVALS.map(([value, name]) => [value, value === "auto" ? autoIntervalLabel(result?.data?.interval) : `Per ${name.toLowerCase()}`])} value={interval} onChange={(event) => setParam("interval", event.target.value)} />
          <Button small icon={<DownloadIcon size={16} />} onClick={() => downloadCsv(metricId, "timeseries", { range, aggregation, interval })}>CSV</Button>
        </span>
      </div>
      {series.isPending ? (
        <div className="skeleton chart-loading" />
      ) : series.isError ? (
        <ErrorState error={series.error} onRetry={() => series.refetch()} />
      ) : result?.error ? (
        <EmptyState title="Could not load this chart"><p>{result.error.message}</p></EmptyState>
      ) : points.length === 0 ? (
        <EmptyState title="No points in this range" action={<Button onClick={() => setParams(rangeToParams(params, "90d"))}>Show the last 90 days</Button>} />
      ) : (
        <>
          <Chart kind={aggregation === "sum" || aggregation === "count" ? "bar" : "line"} series={chartSeries} start={result?.start ?? 0} end={result?.end ?? 0} height={320} onZoom={zoom} />
          <p className="muted small chart-foot">
            {aggregationLabel(aggregation)} over the {isPercentile(aggregation) ? `latest ${result?.data?.interval ?? "interval"}` : "range"}: <strong className="numeric">{formatValue(rangeValue, aggregatedUnit(aggregation, unit))}</strong>. Drag across the chart to zoom in.
          </p>
        </>
      )}
    </Card>
  );
}

const autoIntervalLabel = (interval: string | undefined) => (interval ? `Automatic (${interval})` : "Automatic");
