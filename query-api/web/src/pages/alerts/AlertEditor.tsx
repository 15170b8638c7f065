import { useMutation, useQuery } from "@tanstack/react-query";
import { useEffect, useMemo, useState, type FormEvent } from "react";
import { Link, useNavigate, useParams, useSearchParams } from "react-router";
import { ApiError, errorMessage } from "../../api/error.ts";
import { metricQuery, useCanManage, useRefresh } from "../../api/queries.ts";
import type { Aggregation, Alert as AlertRule, NewAlert } from "../../api/types.ts";
import { Chart } from "../../chart/Chart.tsx";
import { AGGREGATIONS, aggregatedUnit } from "../../format/aggregations.ts";
import { formatCount } from "../../format/numbers.ts";
import { Button, ButtonLink } from "../../ui/Button.tsx";
import { CheckField, SelectField, TextField } from "../../ui/Field.tsx";
import { MetricPicker } from "../../ui/MetricPicker.tsx";
import { Card, Page } from "../../ui/Page.tsx";
import { Alert, ErrorState, Skeleton } from "../../ui/feedback.tsx";
import { previewPeriod } from "./ruleSeries.ts";
import { alertQuery, channelsQuery, createAlert, previewQuery, replaceAlert } from "./queries.ts";
import { useRuleSeries } from "./useRuleSeries.ts";
import { firingPeriods, channelKindLabel, OPERATORS, WINDOWS } from "./labels.ts";

const DEBOUNCE_MS = 400;

/** Page for a new alert rule. */
export function NewAlertPage() {
  const [params] = useSearchParams();
  return <Editor metricId={params.get("metric") ?? ""} />;
}

/** Page for editing an alert rule. */
export function EditAlertPage() {
  const { alertId = "" } = useParams();
  const alert = useQuery({ ...alertQuery(alertId), refetchInterval: false });
  const back = { to: `/alerts/${alertId}`, label: "Alert" };
  if (alert.isPending) return <Page title="Edit alert" back={back}><Skeleton /></Page>;
  if (alert.isError && !alert.data) return <Page title="Edit alert" back={back}><ErrorState error={alert.error} onRetry={() => alert.refetch()} /></Page>;
  return <Editor metricId={alert.data.metricId} from={alert.data} />;
}

function Editor({ metricId, from }: { metricId: string; from?: AlertRule }) {
  if (useCanManage()) return <AlertForm metricId={metricId} from={from} />;
  return (
    <Page title={from ? "Edit alert" : "New alert"} back={{ to: "/alerts", label: "Alerts" }}>
      <Alert kind="info">Your key cannot make changes. Sign in with a key that has the “manage” scope to create or edit alerts.</Alert>
    </Page>
  );
}

function AlertForm({ metricId: initial, from }: { metricId: string; from?: AlertRule }) {
  const [name, setName] = useState(from?.name ?? "");
  const [metricId, setMetricId] = useState(initial);
  const [aggregation, setAggregation] = useState<Aggregation>((from?.aggregation as Aggregation | undefined) ?? "avg");
  const [operator, setOperator] = useState<NewAlert["operator"]>(from?.operator ?? ">");
  const [threshold, setThreshold] = useState(from ? String(from.threshold) : "");
  const [range, setRange] = useState<NewAlert["range"]>(from?.range ?? "1h");
  const [noData, setNoData] = useState(from?.noData === "fire");
  const [enabled, setEnabled] = useState(from?.enabled ?? true);
  const [channels, setChannels] = useState<string[]>(from?.channels ?? []);
  const availableChannels = useQuery(channelsQuery);
  const metric = useQuery({ ...metricQuery(metricId), enabled: Boolean(metricId), retry: false });
  const navigate = useNavigate();
  const refresh = useRefresh();

  const thresholdValue = Number(threshold.replace(",", "."));
  const complete = metricId !== "" && threshold.trim() !== "" && Number.isFinite(thresholdValue);
  const title = name.trim() || (complete ? `${metric.data?.metricName ?? metricId} ${OPERATORS.find(([value]) => value === operator)?.[1] ?? ""} ${threshold}` : "");
  const rule: NewAlert = { name: title.slice(0, 100), metricId, aggregation, operator, threshold: thresholdValue, range, channels, enabled, noData: noData ? "fire" : "ignore" };

  const save = useMutation({
    mutationFn: () => (from ? replaceAlert(from, rule) : createAlert(rule)),
    onSuccess: (saved) => {
      void refresh(["alerts"]);
      navigate(`/alerts/${saved.alertId}`);
    },
  });
  const fieldError = (field: string) => (save.error instanceof ApiError ? save.error.fieldError(field) : undefined);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (complete) save.mutate();
  };
  const toggleChannel = (channelId: string) => setChannels((channels) => (channels.includes(channelId) ? channels.filter((id) => id !== channelId) : [...channels, channelId]));
  const unit = aggregatedUnit(aggregation, metric.data?.unit ?? null);
  return (
    <Page title={from ? "Edit alert" : "New alert"} back={from ? { to: `/alerts/${from.alertId}`, label: from.name } : { to: "/alerts", label: "Alerts" }}>
      <form className="stack" onSubmit={submit} noValidate>
        <Card title="Condition">
          <div className="fields">
            <div className="fields-two">
              <MetricPicker label="Metric" value={metricId} onChange={setMetricId} error={fieldError("metricId")} />
              <SelectField label="Aggregation" options={AGGREGATIONS} value={aggregation} onChange={(event) => setAggregation(event.target.value as Aggregation)} error={fieldError("aggregation")} />
              <SelectField label="Over the last" options={WINDOWS} value={range} onChange={(event) => setRange(event.target.value as NewAlert["range"])} />
            </div>
            <div className="fields-two">
              <SelectField label="Condition" options={OPERATORS} value={operator} onChange={(event) => setOperator(event.target.value as NewAlert["operator"])} />
              <TextField label={unit ? `Threshold (${unit})` : "Threshold"} inputMode="decimal" value={threshold} onChange={(event) => setThreshold(event.target.value)}
                error={fieldError("threshold") ?? (threshold.trim() && !Number.isFinite(thresholdValue) ? "Enter a number." : undefined)} />
              <TextField label="Name" value={name} placeholder={title || "Too few signups"} maxLength={100} onChange={(event) => setName(event.target.value)} error={fieldError("name")} />
            </div>
            <CheckField label="Also fire if there are no points in this window" checked={noData} onChange={(event) => setNoData(event.target.checked)} hint="Otherwise, the rule keeps its current state." />
            {from && <CheckField label="Enabled" checked={enabled} onChange={(event) => setEnabled(event.target.checked)} />}
          </div>
        </Card>
        <Preview rule={complete ? rule : undefined} name={metric.data?.metricName ?? metricId} unit={metric.data?.unit ?? null} />
        <Card title="Notifications" actions={<ButtonLink to="/alerts/channels" small>Channels</ButtonLink>}>
          {availableChannels.isPending ? <Skeleton rows={2} /> : availableChannels.isError ? <ErrorState error={availableChannels.error} onRetry={() => availableChannels.refetch()} /> : availableChannels.data.items.length === 0 ? (
            <p className="muted">There are no channels yet. The rule is evaluated, but nobody is notified. <Link to="/alerts/channels">Create a channel</Link></p>
          ) : (
            <fieldset className="choices">
              <legend className="sr-only">Channels</legend>
              {availableChannels.data.items.map((channel) => (
                <CheckField key={channel.channelId} label={channel.name} hint={channel.url ? `${channelKindLabel(channel.kind)} · ${channel.url}` : channelKindLabel(channel.kind)} checked={channels.includes(channel.channelId)} onChange={() => toggleChannel(channel.channelId)} />
              ))}
            </fieldset>
          )}
        </Card>
        {save.error ? <Alert>{errorMessage(save.error)}</Alert> : null}
        <div className="row">
          <Button type="submit" variant="primary" busy={save.isPending} disabled={!complete}>{from ? "Save" : "Create alert"}</Button>
          <ButtonLink to={from ? `/alerts/${from.alertId}` : "/alerts"}>Cancel</ButtonLink>
        </div>
      </form>
    </Page>
  );
}

/** Shows when the rule would have fired in the last 30 days. */
function Preview({ rule, name, unit }: { rule: NewAlert | undefined; name: string; unit: string | null }) {
  const debounced = useDebounced(rule);
  const preview = useQuery(previewQuery(debounced && { ...debounced, name: "Preview", channels: [], enabled: true }));
  const previewRule = useMemo(() => debounced && { metricId: debounced.metricId, aggregation: debounced.aggregation ?? "avg", range: debounced.range }, [debounced]);
  const period = useMemo(() => debounced && previewPeriod(debounced.range), [debounced]);
  const { pending, series, start, end } = useRuleSeries(previewRule, period, name, unit);
  const firing = useMemo(() => firingPeriods(preview.data?.transitions ?? [], end).filter((period) => period.end > start), [preview.data, start, end]);
  return (
    <Card title="Preview of the last 30 days">
      {!debounced ? (
        <p className="muted">Choose a metric and a threshold to see when the rule would have fired.</p>
      ) : preview.isError ? (
        <Alert kind="warn">{errorMessage(preview.error)}</Alert>
      ) : pending || preview.isPending ? (
        <div className="skeleton chart-loading" />
      ) : series.length === 0 ? (
        <p className="muted">There are no points in the last 30 days. You can still save the rule.</p>
      ) : (
        <>
          <p className="gap" role="status">{firingSummary(firing.length)}</p>
          <Chart kind="line" series={series} start={start} end={end} height={240} threshold={debounced.threshold} highlights={firing} />
        </>
      )}
    </Card>
  );
}

const firingSummary = (times: number) => (times === 0 ? "This rule would not have fired." : `This rule would have fired ${times === 1 ? "once" : `${formatCount(times)} times`}.`);

/** Returns the rule as it was when the user stopped typing. */
function useDebounced(rule: NewAlert | undefined): NewAlert | undefined {
  const [debounced, setDebounced] = useState(rule);
  const serialized = JSON.stringify(rule && { ...rule, name: "", channels: [] });
  useEffect(() => {
    const timer = setTimeout(() => setDebounced(rule), DEBOUNCE_MS);
    return () => clearTimeout(timer);
    // `serialized` covers all fields that affect the preview.
  }, [serialized]);
  return debounced;
}
