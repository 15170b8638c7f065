import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useMemo, useState } from "react";
import { useParams, useSearchParams } from "react-router";
import { metricQuery, useMayManage } from "../../api/queries.ts";
import { nameOf, seriesQuery, type Wanted } from "../../api/series.ts";
import type { Aggregation, Interval, Metric } from "../../api/types.ts";
import { Chart } from "../../chart/Chart.tsx";
import { slots } from "../../chart/palette.ts";
import { total } from "../../chart/total.ts";
import { AGGREGATIONS, aggregationName, INTERVALS, isAggregation, isInterval, isPercentile, unitOf } from "../../format/choices.ts";
import { formatCount, formatValue } from "../../format/numbers.ts";
import { isSpan, readRange, writeRange, type Range } from "../../format/range.ts";
import { formatDate } from "../../format/times.ts";
import { useIsLive, useLiveRefresh } from "../../live/hooks.ts";
import { Button, ButtonLink } from "../../ui/Button.tsx";
import { SmallSelect } from "../../ui/Field.tsx";
import { BellIcon, DownloadIcon, MoreIcon, TrashIcon, ZoomOutIcon } from "../../ui/icons.tsx";
import { Menu } from "../../ui/Menu.tsx";
import { Card, Page } from "../../ui/Page.tsx";
import { RangePicker } from "../../ui/RangePicker.tsx";
import { Badge, Empty, Failed, Skeleton } from "../../ui/states.tsx";
import { Ago } from "../../ui/Time.tsx";
import { downloadCsv } from "./csv.ts";
import { DeleteMetric } from "./DeleteMetric.tsx";
import { Points } from "./Points.tsx";

const BACK = { to: "/metrics", label: "Metrics" };

/** One metric: its course, its numbers, its points. */
export function MetricPage() {
  const { metricId = "" } = useParams();
  const metric = useQuery(metricQuery(metricId));
  const manage = useMayManage();
  const client = useQueryClient();
  useLiveRefresh([metricId], () => {
    void client.invalidateQueries({ queryKey: ["metrics", metricId] });
    void client.invalidateQueries({ queryKey: ["series"] });
    void client.invalidateQueries({ queryKey: ["points", metricId] });
  });
  if (metric.isPending) return <Page title={metricId} back={BACK}><Skeleton rows={2} tall /></Page>;
  if (metric.isError) return <Page title={metricId} back={BACK}><Failed error={metric.error} onRetry={() => metric.refetch()} /></Page>;
  const one = metric.data;
  return (
    <Page title={one.metricName} back={BACK} about={<code>{one.metricId}</code>}
      heading={<span className="row">{one.metricName} <Live /></span>}
      actions={manage && <Actions metric={one} />}>
      <Card label="About the metric">
        <dl className="facts">
          <div><dt>Last value</dt><dd className="fact-big numeric">{formatValue(one.lastValue, one.unit)}</dd></div>
          <div><dt>Last point</dt><dd><Ago at={one.lastSeenAt} /></dd></div>
          <div><dt>Points</dt><dd className="numeric">{formatCount(one.points)}</dd></div>
          <div><dt>Unit</dt><dd>{one.unit ?? <span className="quiet">None</span>}</dd></div>
          <div><dt>Since</dt><dd>{formatDate(one.firstSeenAt)}</dd></div>
        </dl>
      </Card>
      <Course metricId={one.metricId} unit={one.unit} name={one.metricName} />
      <Points metricId={one.metricId} unit={one.unit} />
    </Page>
  );
}

function Actions({ metric }: { metric: Metric }) {
  const [deleting, setDeleting] = useState(false);
  return (
    <>
      <ButtonLink to={`/alerts/new?metric=${encodeURIComponent(metric.metricId)}`} icon={<BellIcon />}>Set an alert</ButtonLink>
      <Menu className="button button-bare" label="More actions" button={<MoreIcon />} items={[
        { label: "Delete", icon: <TrashIcon />, danger: true, onSelect: () => setDeleting(true) },
      ]} />
      {deleting && <DeleteMetric metric={metric} onClose={() => setDeleting(false)} />}
    </>
  );
}

function Live() {
  return useIsLive() ? <Badge kind="good">Live</Badge> : null;
}

function Course({ metricId, unit, name }: { metricId: string; unit: string | null; name: string }) {
  const [params, setParams] = useSearchParams();
  const range: Range = readRange(params) ?? "24h";
  const [asked, wantedInterval] = [params.get("aggregation"), params.get("interval")];
  const aggregation: Aggregation = isAggregation(asked) ? asked : "avg";
  const interval: Interval = isInterval(wantedInterval) ? wantedInterval : "auto";
  const wanted: Wanted = { metricId, aggregation, range, interval };
  const series = useQuery(seriesQuery([wanted]));
  const answer = series.data?.get(nameOf(wanted)) ?? series.data?.values().next().value;
  const slot = slots([metricId])[0] ?? 0;
  const drawn = useMemo(
    () => (answer?.data ? [{ name, unit: unitOf(answer.data.aggregation, unit), slot, points: answer.data.points.map(({ timestamp, value }) => ({ timestamp, value: value ?? null })) }] : []),
    [answer, name, unit, slot],
  );
  const set = (name: string, value: string) => {
    const next = new URLSearchParams(params);
    next.set(name, value);
    setParams(next, { replace: true });
  };
  const zoom = (startDate: number, endDate: number) => setParams(writeRange(params, { startDate, endDate }));
  const points = answer?.data?.points ?? [];
  const all = total(points.map((point) => ({ ...point, value: point.value ?? null })), aggregation);
  return (
    <Card label="Course">
      <div className="toolbar gap">
        <RangePicker value={range} onChange={(range) => setParams(writeRange(params, range))} />
        {!isSpan(range) && <Button small look="quiet" icon={<ZoomOutIcon size={16} />} onClick={() => setParams(writeRange(params, undefined))}>Reset zoom</Button>}
        <span className="spread row">
          <SmallSelect label="Aggregation" options={AGGREGATIONS} value={aggregation} onChange={(event) => set("aggregation", event.target.value)} />
          <SmallSelect label="Interval" options={INTERVALS.map(([value, name]) => [value, value === "auto" ? autoName(answer?.data?.interval) : `Per ${name.toLowerCase()}`])} value={interval} onChange={(event) => set("interval", event.target.value)} />
          <Button small icon={<DownloadIcon size={16} />} onClick={() => downloadCsv(metricId, "timeseries", { range, aggregation, interval })}>CSV</Button>
        </span>
      </div>
      {series.isPending ? (
        <div className="skeleton chart-waits" />
      ) : series.isError ? (
        <Failed error={series.error} onRetry={() => series.refetch()} />
      ) : answer?.error ? (
        <Empty title="This cannot be drawn"><p>{answer.error.message}</p></Empty>
      ) : points.length === 0 ? (
        <Empty title="No points in this range" action={<Button onClick={() => setParams(writeRange(params, "90d"))}>Look at the last 90 days</Button>} />
      ) : (
        <>
          <Chart kind={aggregation === "sum" || aggregation === "count" ? "bar" : "line"} series={drawn} start={answer?.start ?? 0} end={answer?.end ?? 0} height={320} onZoom={zoom} />
          <p className="quiet small chart-foot">
            {aggregationName(aggregation)} of the {isPercentile(aggregation) ? `newest ${answer?.data?.interval ?? "part"}` : "range"}: <strong className="numeric">{formatValue(all, unitOf(aggregation, unit))}</strong>. Drag over the chart to zoom in.
          </p>
        </>
      )}
    </Card>
  );
}

const autoName = (interval: string | undefined) => (interval ? `Automatic (${interval})` : "Automatic");
