import { useMutation, useQuery } from "@tanstack/react-query";
import { useMemo, useState } from "react";
import { Link, useNavigate, useParams } from "react-router";
import { api, of } from "../../api/client.ts";
import { messageOf } from "../../api/error.ts";
import { metricQuery, useMayManage, useRefresh } from "../../api/queries.ts";
import type { Aggregation, Alert as Rule, AlertTransition } from "../../api/types.ts";
import { Chart } from "../../chart/Chart.tsx";
import { aggregationName, unitOf } from "../../format/choices.ts";
import { formatValue } from "../../format/numbers.ts";
import { formatExact } from "../../format/times.ts";
import { useLiveRefresh } from "../../live/hooks.ts";
import { Button, ButtonLink } from "../../ui/Button.tsx";
import { FormDialog } from "../../ui/Dialog.tsx";
import { TextField } from "../../ui/Field.tsx";
import { BellIcon, CheckIcon, MoreIcon, PencilIcon, TrashIcon } from "../../ui/icons.tsx";
import { Menu } from "../../ui/Menu.tsx";
import { Card, Page } from "../../ui/Page.tsx";
import { Badge, Empty, Failed, Skeleton } from "../../ui/states.tsx";
import { Ago } from "../../ui/Time.tsx";
import { tell } from "../../ui/toast.ts";
import { lately } from "./course.ts";
import { AlertsFailed, StateOf, StateWord } from "./parts.tsx";
import { alertQuery, channelsQuery, historyQuery, removeAlert } from "./queries.ts";
import { useCourse } from "./useCourse.ts";
import { conditionText, firingTimes, windowName } from "./words.ts";

const BACK = { to: "/alerts", label: "Alerts" };

/** One rule: what it stands at, and what became of it. */
export function AlertPage() {
  const { alertId = "" } = useParams();
  const alert = useQuery(alertQuery(alertId));
  const metric = useQuery({ ...metricQuery(alert.data?.metricId ?? ""), enabled: Boolean(alert.data), retry: false });
  const history = useQuery({ ...historyQuery(alertId), enabled: Boolean(alert.data) });
  const refresh = useRefresh();
  useLiveRefresh(alert.data ? [alert.data.metricId] : [], () => void refresh(["series"], ["alerts", alertId]));
  const manage = useMayManage();
  if (alert.isPending) return <Page title="Alert" back={BACK}><Skeleton rows={2} tall /></Page>;
  if (alert.isError && !alert.data) return <Page title="Alert" back={BACK}><AlertsFailed error={alert.error} onRetry={() => alert.refetch()} /></Page>;
  const one = alert.data;
  const unit = metric.data?.unit ?? null;
  return (
    <Page title={one.name} back={BACK} heading={<span className="row">{one.name} <StateOf alert={one} /></span>}
      about={<>{conditionText(one, unit)} · <Link to={`/metrics/${encodeURIComponent(one.metricId)}`}>{metric.data?.metricName ?? one.metricId}</Link></>}
      actions={manage && <Actions alert={one} />}>
      <Course alert={one} unit={unit} name={metric.data?.metricName ?? one.metricId} history={history.data?.items ?? []} />
      <History history={history} unit={unitOf(one.aggregation, unit)} />
    </Page>
  );
}

function Actions({ alert }: { alert: Rule }) {
  const [asking, setAsking] = useState<"acknowledge" | "delete">();
  const navigate = useNavigate();
  const refresh = useRefresh();
  const test = useMutation({
    mutationFn: () => of(api.POST("/api/v1/alerts/{alertId}/test", { params: { path: { alertId: alert.alertId } } })),
    onSuccess: () => tell("A test is on its way to the channels"),
    onError: (error) => tell(messageOf(error), "error"),
  });
  const remove = useMutation({
    mutationFn: () => removeAlert(alert),
    onSuccess: () => {
      tell(`“${alert.name}” is deleted`);
      navigate("/alerts");
      void refresh(["alerts"]);
    },
  });
  const open = alert.enabled && alert.state !== "ok" && !alert.acknowledged;
  return (
    <>
      {open && <Button look="primary" icon={<CheckIcon />} onClick={() => setAsking("acknowledge")}>Acknowledge</Button>}
      <ButtonLink to="edit" icon={<PencilIcon />}>Edit</ButtonLink>
      <Menu className="button button-bare" label="More actions" button={<MoreIcon />} items={[
        { label: "Send a test", icon: <BellIcon />, disabled: alert.channels.length === 0, onSelect: () => test.mutate() },
        null,
        { label: "Delete", icon: <TrashIcon />, danger: true, onSelect: () => setAsking("delete") },
      ]} />
      {asking === "acknowledge" && <Acknowledge alert={alert} onClose={() => setAsking(undefined)} />}
      {asking === "delete" && (
        <FormDialog title={`Delete “${alert.name}”?`} action="Delete" danger busy={remove.isPending} error={remove.error} onClose={() => setAsking(undefined)} onSubmit={() => remove.mutate()}>
          <p>The rule and its history go. The metric stays.</p>
        </FormDialog>
      )}
    </>
  );
}

function Acknowledge({ alert, onClose }: { alert: Rule; onClose: () => void }) {
  const [note, setNote] = useState("");
  const refresh = useRefresh();
  const acknowledge = useMutation({
    mutationFn: () => of(api.POST("/api/v1/alerts/{alertId}/acknowledge", { params: { path: { alertId: alert.alertId } }, body: note.trim() ? { note: note.trim() } : {} })),
    onSuccess: () => {
      tell("Acknowledged");
      void refresh(["alerts"]);
      onClose();
    },
  });
  return (
    <FormDialog title="Acknowledge the alert" action="Acknowledge" busy={acknowledge.isPending} error={acknowledge.error} onClose={onClose} onSubmit={() => acknowledge.mutate()}>
      <p>Others see that somebody looks after it. It counts until the rule changes again.</p>
      <TextField label="Note (optional)" placeholder="Ann looks into it" maxLength={1000} value={note} onChange={(event) => setNote(event.target.value)} autoFocus />
    </FormDialog>
  );
}

function Course({ alert, unit, name, history }: { alert: Rule; unit: string | null; name: string; history: AlertTransition[] }) {
  const { metricId, aggregation, range } = alert;
  const rule = useMemo(() => ({ metricId, aggregation: aggregation as Aggregation, range }), [metricId, aggregation, range]);
  const { query, pending, reason, series, start, end } = useCourse(rule, lately(range), name, unit);
  const marked = useMemo(
    () => firingTimes(history.toReversed(), end).filter((time) => time.end > start).map((time) => ({ start: Math.max(start, time.start), end: time.end })),
    [history, start, end],
  );
  return (
    <Card title={`${aggregationName(aggregation)} of the last ${windowName(range)}, over time`}>
      {pending ? (
        <div className="skeleton chart-waits" />
      ) : query.isError ? (
        <Failed error={query.error} onRetry={() => query.refetch()} />
      ) : series.length === 0 ? (
        <Empty title="No points in this time"><p>{reason ?? "The metric is silent."}</p></Empty>
      ) : (
        <Chart kind="line" series={series} start={start} end={end} height={240} threshold={alert.threshold} marked={marked} />
      )}
    </Card>
  );
}

function History({ history, unit }: { history: ReturnType<typeof useQuery<{ items: AlertTransition[] }>>; unit: string | null }) {
  const channels = useQuery(channelsQuery);
  const names = new Map(channels.data?.items.map((channel) => [channel.channelId, channel.name]));
  return (
    <Card title="History" flush>
      {history.isPending ? (
        <div className="card-body"><Skeleton /></div>
      ) : history.isError ? (
        <Failed error={history.error} onRetry={() => history.refetch()} />
      ) : history.data.items.length === 0 ? (
        <Empty icon={<BellIcon size={26} />} title="Nothing has happened yet"><p>Each change of the rule will stand here, with who was told and who acknowledged.</p></Empty>
      ) : (
        <ol className="history">
          {history.data.items.map((item) => (
            <li key={item.at} className="change">
              <div className="row">{item.test ? <Badge>Test</Badge> : <><StateWord state={item.from} /><span aria-label="became">→</span></>}<StateWord state={item.to} /><span className="numeric">{item.value === null ? "no points" : formatValue(item.value, unit)}</span><span className="quiet small">threshold {formatValue(item.threshold, unit)}</span></div>
              <span className="quiet small" title={formatExact(item.at)}><Ago at={item.at} /></span>
              {item.deliveries.length > 0 && (
                <ul className="deliveries">
                  {item.deliveries.map((delivery) => (
                    <li key={`${delivery.channelId} ${delivery.attempt} ${delivery.at}`} className="small">
                      <Badge kind={delivery.status === "delivered" ? "good" : delivery.status === "retrying" ? "warn" : "bad"}>{delivery.status}</Badge>
                      <span>{names.get(delivery.channelId) ?? "A deleted channel"}{delivery.attempt > 1 ? `, attempt ${delivery.attempt}` : ""}{delivery.error ? `: ${delivery.error}` : ""}</span>
                    </li>
                  ))}
                </ul>
              )}
              {item.acknowledgedBy && <p className="small"><CheckIcon size={14} /> Acknowledged by {item.acknowledgedBy}{item.acknowledgedAt ? <>, <Ago at={item.acknowledgedAt} /></> : null}{item.note ? `: “${item.note}”` : ""}</p>}
            </li>
          ))}
        </ol>
      )}
    </Card>
  );
}

