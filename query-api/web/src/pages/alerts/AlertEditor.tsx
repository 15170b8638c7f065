import { useMutation, useQuery } from "@tanstack/react-query";
import { useEffect, useMemo, useState, type FormEvent } from "react";
import { Link, useNavigate, useParams, useSearchParams } from "react-router";
import { ApiError, messageOf } from "../../api/error.ts";
import { metricQuery, useMayManage, useRefresh } from "../../api/queries.ts";
import type { Aggregation, Alert as Rule, NewAlert } from "../../api/types.ts";
import { Chart } from "../../chart/Chart.tsx";
import { AGGREGATIONS, unitOf } from "../../format/choices.ts";
import { formatCount } from "../../format/numbers.ts";
import { Button, ButtonLink } from "../../ui/Button.tsx";
import { CheckField, SelectField, TextField } from "../../ui/Field.tsx";
import { MetricPicker } from "../../ui/MetricPicker.tsx";
import { Card, Page } from "../../ui/Page.tsx";
import { Alert, Failed, Skeleton } from "../../ui/states.tsx";
import { ofMonth } from "./course.ts";
import { alertQuery, channelsQuery, createAlert, previewQuery, replaceAlert } from "./queries.ts";
import { useCourse } from "./useCourse.ts";
import { firingTimes, kindName, OPERATORS, WINDOWS } from "./words.ts";

const SETTLE_MS = 400;

/** A rule is made. */
export function NewAlertPage() {
  const [params] = useSearchParams();
  return <Editor metricId={params.get("metric") ?? ""} />;
}

/** A rule is changed. */
export function EditAlertPage() {
  const { alertId = "" } = useParams();
  const alert = useQuery({ ...alertQuery(alertId), refetchInterval: false });
  const back = { to: `/alerts/${alertId}`, label: "The alert" };
  if (alert.isPending) return <Page title="Edit the alert" back={back}><Skeleton /></Page>;
  if (alert.isError && !alert.data) return <Page title="Edit the alert" back={back}><Failed error={alert.error} onRetry={() => alert.refetch()} /></Page>;
  return <Editor metricId={alert.data.metricId} from={alert.data} />;
}

function Editor({ metricId, from }: { metricId: string; from?: Rule }) {
  if (useMayManage()) return <Form metricId={metricId} from={from} />;
  return (
    <Page title={from ? "Edit the alert" : "New alert"} back={{ to: "/alerts", label: "Alerts" }}>
      <Alert kind="info">This key may only read. Sign in with one that may manage the project to make or change alerts.</Alert>
    </Page>
  );
}

function Form({ metricId: initial, from }: { metricId: string; from?: Rule }) {
  const [name, setName] = useState(from?.name ?? "");
  const [metricId, setMetricId] = useState(initial);
  const [aggregation, setAggregation] = useState<Aggregation>((from?.aggregation as Aggregation | undefined) ?? "avg");
  const [operator, setOperator] = useState<NewAlert["operator"]>(from?.operator ?? ">");
  const [threshold, setThreshold] = useState(from ? String(from.threshold) : "");
  const [range, setRange] = useState<NewAlert["range"]>(from?.range ?? "1h");
  const [noData, setNoData] = useState(from?.noData === "fire");
  const [enabled, setEnabled] = useState(from?.enabled ?? true);
  const [channels, setChannels] = useState<string[]>(from?.channels ?? []);
  const known = useQuery(channelsQuery);
  const metric = useQuery({ ...metricQuery(metricId), enabled: Boolean(metricId), retry: false });
  const navigate = useNavigate();
  const refresh = useRefresh();

  const number = Number(threshold.replace(",", "."));
  const complete = metricId !== "" && threshold.trim() !== "" && Number.isFinite(number);
  const title = name.trim() || (complete ? `${metric.data?.metricName ?? metricId} ${OPERATORS.find(([one]) => one === operator)?.[1] ?? ""} ${threshold}` : "");
  const rule: NewAlert = { name: title.slice(0, 100), metricId, aggregation, operator, threshold: number, range, channels, enabled, noData: noData ? "fire" : "ignore" };

  const save = useMutation({
    mutationFn: () => (from ? replaceAlert(from, rule) : createAlert(rule)),
    onSuccess: (saved) => {
      void refresh(["alerts"]);
      navigate(`/alerts/${saved.alertId}`);
    },
  });
  const fault = (field: string) => (save.error instanceof ApiError ? save.error.fault(field) : undefined);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (complete) save.mutate();
  };
  const flip = (channelId: string) => setChannels((channels) => (channels.includes(channelId) ? channels.filter((one) => one !== channelId) : [...channels, channelId]));
  const unit = unitOf(aggregation, metric.data?.unit ?? null);
  return (
    <Page title={from ? "Edit the alert" : "New alert"} back={from ? { to: `/alerts/${from.alertId}`, label: from.name } : { to: "/alerts", label: "Alerts" }}>
      <form className="stack" onSubmit={submit} noValidate>
        <Card title="When to fire">
          <div className="fields">
            <div className="fields-two">
              <MetricPicker label="Metric" value={metricId} onChange={setMetricId} error={fault("metricId")} />
              <SelectField label="Aggregation" options={AGGREGATIONS} value={aggregation} onChange={(event) => setAggregation(event.target.value as Aggregation)} error={fault("aggregation")} />
              <SelectField label="Over the last" options={WINDOWS} value={range} onChange={(event) => setRange(event.target.value as NewAlert["range"])} />
            </div>
            <div className="fields-two">
              <SelectField label="Condition" options={OPERATORS} value={operator} onChange={(event) => setOperator(event.target.value as NewAlert["operator"])} />
              <TextField label={unit ? `Threshold (${unit})` : "Threshold"} inputMode="decimal" value={threshold} onChange={(event) => setThreshold(event.target.value)}
                error={fault("threshold") ?? (threshold.trim() && !Number.isFinite(number) ? "Must be a number." : undefined)} />
              <TextField label="Name" value={name} placeholder={title || "Too few signups"} maxLength={100} onChange={(event) => setName(event.target.value)} error={fault("name")} />
            </div>
            <CheckField label="Fire too when there are no points in that time" checked={noData} onChange={(event) => setNoData(event.target.checked)} hint="Otherwise the rule stays in the state that it is in." />
            {from && <CheckField label="Evaluate this rule" checked={enabled} onChange={(event) => setEnabled(event.target.checked)} />}
          </div>
        </Card>
        <Preview rule={complete ? rule : undefined} name={metric.data?.metricName ?? metricId} unit={metric.data?.unit ?? null} />
        <Card title="Whom to tell" actions={<ButtonLink to="/alerts/channels" small>Channels</ButtonLink>}>
          {known.isPending ? <Skeleton rows={2} /> : known.isError ? <Failed error={known.error} onRetry={() => known.refetch()} /> : known.data.items.length === 0 ? (
            <p className="quiet">There are no channels yet: the rule is evaluated, and nobody is told. <Link to="/alerts/channels">Make a channel</Link></p>
          ) : (
            <fieldset className="choices">
              <legend className="sr-only">Channels</legend>
              {known.data.items.map((channel) => (
                <CheckField key={channel.channelId} label={channel.name} hint={channel.url ? `${kindName(channel.kind)} · ${channel.url}` : kindName(channel.kind)} checked={channels.includes(channel.channelId)} onChange={() => flip(channel.channelId)} />
              ))}
            </fieldset>
          )}
        </Card>
        {save.error ? <Alert>{messageOf(save.error)}</Alert> : null}
        <div className="row">
          <Button type="submit" look="primary" busy={save.isPending} disabled={!complete}>{from ? "Save" : "Create alert"}</Button>
          <ButtonLink to={from ? `/alerts/${from.alertId}` : "/alerts"}>Cancel</ButtonLink>
        </div>
      </form>
    </Page>
  );
}

/** What the rule would have done, over the metric's own history. */
function Preview({ rule, name, unit }: { rule: NewAlert | undefined; name: string; unit: string | null }) {
  const settled = useSettled(rule);
  const preview = useQuery(previewQuery(settled && { ...settled, name: "Preview", channels: [], enabled: true }));
  const month = useMemo(() => settled && { metricId: settled.metricId, aggregation: settled.aggregation ?? "avg", range: settled.range }, [settled]);
  const course = useMemo(() => settled && ofMonth(settled.range), [settled]);
  const { pending, series, start, end } = useCourse(month, course, name, unit);
  const marked = useMemo(() => firingTimes(preview.data?.transitions ?? [], end).filter((time) => time.end > start), [preview.data, start, end]);
  return (
    <Card title="The last 30 days with this rule">
      {!settled ? (
        <p className="quiet">Choose a metric and a threshold to see what the rule would have done.</p>
      ) : preview.isError ? (
        <Alert kind="warn">{messageOf(preview.error)}</Alert>
      ) : pending || preview.isPending ? (
        <div className="skeleton chart-waits" />
      ) : series.length === 0 ? (
        <p className="quiet">There are no points in the last 30 days. The rule can be made all the same.</p>
      ) : (
        <>
          <p className="gap" role="status">{said(marked.length)}</p>
          <Chart kind="line" series={series} start={start} end={end} height={240} threshold={settled.threshold} marked={marked} />
        </>
      )}
    </Card>
  );
}

const said = (times: number) => (times === 0 ? "It would not have fired." : `It would have fired ${times === 1 ? "once" : `${formatCount(times)} times`}.`);

/** The rule as it is once nobody has typed for a moment. */
function useSettled(rule: NewAlert | undefined): NewAlert | undefined {
  const [settled, setSettled] = useState(rule);
  const text = JSON.stringify(rule && { ...rule, name: "", channels: [] });
  useEffect(() => {
    const timer = setTimeout(() => setSettled(rule), SETTLE_MS);
    return () => clearTimeout(timer);
    // The text says all of it that matters.
  }, [text]);
  return settled;
}
