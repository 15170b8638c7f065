import { useMutation, useQuery } from "@tanstack/react-query";
import { useMemo, useState } from "react";
import { Link, useNavigate, useParams } from "react-router";
import { api, unwrap } from "../../api/client.ts";
import { errorMessage } from "../../api/error.ts";
import { metricQuery, useCanManage, useRefresh } from "../../api/queries.ts";
import type { Aggregation, Alert as AlertRule, AlertTransition } from "../../api/types.ts";
import { Chart } from "../../chart/Chart.tsx";
import { aggregationLabel, aggregatedUnit } from "../../format/aggregations.ts";
import { formatValue } from "../../format/numbers.ts";
import { formatExact } from "../../format/times.ts";
import { useLiveRefresh } from "../../live/hooks.ts";
import { Button, ButtonLink } from "../../ui/Button.tsx";
import { FormDialog } from "../../ui/Dialog.tsx";
import { TextField } from "../../ui/Field.tsx";
import { BellIcon, CheckIcon, MoreIcon, PencilIcon, TrashIcon } from "../../ui/icons.tsx";
import { Menu } from "../../ui/Menu.tsx";
import { Card, Page } from "../../ui/Page.tsx";
import { Badge, EmptyState, ErrorState, Skeleton } from "../../ui/feedback.tsx";
import { RelativeTime } from "../../ui/RelativeTime.tsx";
import { showToast } from "../../ui/toast.ts";
import { recentPeriod } from "./ruleSeries.ts";
import { AlertsLoadError, AlertStateBadge, StateBadge } from "./components.tsx";
import { alertQuery, channelsQuery, historyQuery, removeAlert } from "./queries.ts";
import { useRuleSeries } from "./useRuleSeries.ts";
import { describeCondition, firingPeriods, windowLabel } from "./labels.ts";

const BACK = { to: "/alerts", label: "Alerts" };

/** Page of an alert rule: state, chart and history. */
export function AlertPage() {
  const { alertId = "" } = useParams();
  const alert = useQuery(alertQuery(alertId));
  const metric = useQuery({ ...metricQuery(alert.data?.metricId ?? ""), enabled: Boolean(alert.data), retry: false });
  const history = useQuery({ ...historyQuery(alertId), enabled: Boolean(alert.data) });
  const refresh = useRefresh();
  useLiveRefresh(alert.data ? [alert.data.metricId] : [], () => void refresh(["series"], ["alerts", alertId]));
  const manage = useCanManage();
  if (alert.isPending) return <Page title="Alert" back={BACK}><Skeleton rows={2} tall /></Page>;
  if (alert.isError && !alert.data) return <Page title="Alert" back={BACK}><AlertsLoadError error={alert.error} onRetry={() => alert.refetch()} /></Page>;
  const rule = alert.data;
  const unit = metric.data?.unit ?? null;
  return (
    <Page title={rule.name} back={BACK} heading={<span className="row">{rule.name} <AlertStateBadge alert={rule} /></span>}
      description={<>{describeCondition(rule, unit)} · <Link to={`/metrics/${encodeURIComponent(rule.metricId)}`}>{metric.data?.metricName ?? rule.metricId}</Link></>}
      actions={manage && <Actions alert={rule} />}>
      <RuleChartCard alert={rule} unit={unit} name={metric.data?.metricName ?? rule.metricId} history={history.data?.items ?? []} />
      <HistoryCard history={history} unit={aggregatedUnit(rule.aggregation, unit)} />
    </Page>
  );
}

function Actions({ alert }: { alert: AlertRule }) {
  const [dialog, setDialog] = useState<"acknowledge" | "delete">();
  const navigate = useNavigate();
  const refresh = useRefresh();
  const test = useMutation({
    mutationFn: () => unwrap(api.POST("/api/v1/alerts/{alertId}/test", { params: { path: { alertId: alert.alertId } } })),
    onSuccess: () => showToast("Sending a test notification"),
    onError: (error) => showToast(errorMessage(error), "error"),
  });
  const remove = useMutation({
    mutationFn: () => removeAlert(alert),
    onSuccess: () => {
      showToast(`“${alert.name}” deleted`);
      navigate("/alerts");
      void refresh(["alerts"]);
    },
  });
  const canAcknowledge = alert.enabled && alert.state !== "ok" && !alert.acknowledged;
  return (
    <>
      {canAcknowledge && <Button variant="primary" icon={<CheckIcon />} onClick={() => setDialog("acknowledge")}>Acknowledge</Button>}
      <ButtonLink to="edit" icon={<PencilIcon />}>Edit</ButtonLink>
      <Menu className="button button-icon-only" label="More actions" button={<MoreIcon />} items={[
        { label: "Send test notification", icon: <BellIcon />, disabled: alert.channels.length === 0, onSelect: () => test.mutate() },
        null,
        { label: "Delete", icon: <TrashIcon />, danger: true, onSelect: () => setDialog("delete") },
      ]} />
      {dialog === "acknowledge" && <Acknowledge alert={alert} onClose={() => setDialog(undefined)} />}
      {dialog === "delete" && (
        <FormDialog title={`Delete “${alert.name}”?`} submitLabel="Delete" danger busy={remove.isPending} error={remove.error} onClose={() => setDialog(undefined)} onSubmit={() => remove.mutate()}>
          <p>The rule and its history are deleted. The metric is kept.</p>
        </FormDialog>
      )}
    </>
  );
}

function Acknowledge({ alert, onClose }: { alert: AlertRule; onClose: () => void }) {
  const [note, setNote] = useState("");
  const refresh = useRefresh();
  const acknowledge = useMutation({
    mutationFn: () => unwrap(api.POST("/api/v1/alerts/{alertId}/acknowledge", { params: { path: { alertId: alert.alertId } }, body: note.trim() ? { note: note.trim() } : {} })),
    onSuccess: () => {
      showToast("Acknowledged");
      void refresh(["alerts"]);
      onClose();
    },
  });
  return (
    <FormDialog title="Acknowledge alert" submitLabel="Acknowledge" busy={acknowledge.isPending} error={acknowledge.error} onClose={onClose} onSubmit={() => acknowledge.mutate()}>
      <p>Others can see that someone is working on it. The acknowledgement ends when the state of the rule changes.</p>
      <TextField label="Note (optional)" placeholder="Ann is looking into it" maxLength={1000} value={note} onChange={(event) => setNote(event.target.value)} autoFocus />
    </FormDialog>
  );
}

function RuleChartCard({ alert, unit, name, history }: { alert: AlertRule; unit: string | null; name: string; history: AlertTransition[] }) {
  const { metricId, aggregation, range } = alert;
  const rule = useMemo(() => ({ metricId, aggregation: aggregation as Aggregation, range }), [metricId, aggregation, range]);
  const { query, pending, reason, series, start, end } = useRuleSeries(rule, recentPeriod(range), name, unit);
  const firing = useMemo(
    () => firingPeriods(history.toReversed(), end).filter((period) => period.end > start).map((period) => ({ start: Math.max(start, period.start), end: period.end })),
    [history, start, end],
  );
  return (
    <Card title={`${aggregationLabel(aggregation)} over the last ${windowLabel(range)}`}>
      {pending ? (
        <div className="skeleton chart-loading" />
      ) : query.isError ? (
        <ErrorState error={query.error} onRetry={() => query.refetch()} />
      ) : series.length === 0 ? (
        <EmptyState title="No points in this period"><p>{reason ?? "Points appear here as soon as the metric is sent."}</p></EmptyState>
      ) : (
        <Chart kind="line" series={series} start={start} end={end} height={240} threshold={alert.threshold} highlights={firing} />
      )}
    </Card>
  );
}

function HistoryCard({ history, unit }: { history: ReturnType<typeof useQuery<{ items: AlertTransition[] }>>; unit: string | null }) {
  const channels = useQuery(channelsQuery);
  const names = new Map(channels.data?.items.map((channel) => [channel.channelId, channel.name]));
  return (
    <Card title="History" flush>
      {history.isPending ? (
        <div className="card-body"><Skeleton /></div>
      ) : history.isError ? (
        <ErrorState error={history.error} onRetry={() => history.refetch()} />
      ) : history.data.items.length === 0 ? (
        <EmptyState icon={<BellIcon size={26} />} title="No history yet"><p>State changes appear here, with their notifications and acknowledgements.</p></EmptyState>
      ) : (
        <ol className="history">
          {history.data.items.map((item) => (
            <li key={item.at} className="transition">
              <div className="row">{item.test ? <Badge>Test</Badge> : <><StateBadge state={item.from} /><span aria-label="changed to">→</span></>}<StateBadge state={item.to} /><span className="numeric">{item.value === null ? "no points" : formatValue(item.value, unit)}</span><span className="muted small">threshold {formatValue(item.threshold, unit)}</span></div>
              <span className="muted small" title={formatExact(item.at)}><RelativeTime at={item.at} /></span>
              {item.deliveries.length > 0 && (
                <ul className="deliveries">
                  {item.deliveries.map((delivery) => (
                    <li key={`${delivery.channelId} ${delivery.attempt} ${delivery.at}`} className="small">
                      <Badge kind={delivery.status === "delivered" ? "good" : delivery.status === "retrying" ? "warn" : "bad"}>{delivery.status}</Badge>
                      <span>{names.get(delivery.channelId) ?? "Deleted channel"}{delivery.attempt > 1 ? `, attempt ${delivery.attempt}` : ""}{delivery.error ? `: ${delivery.error}` : ""}</span>
                    </li>
                  ))}
                </ul>
              )}
              {item.acknowledgedBy && <p className="small"><CheckIcon size={14} /> Acknowledged by {item.acknowledgedBy}{item.acknowledgedAt ? <>, <RelativeTime at={item.acknowledgedAt} /></> : null}{item.note ? `: “${item.note}”` : ""}</p>}
            </li>
          ))}
        </ol>
      )}
    </Card>
  );
}

