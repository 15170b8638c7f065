import { useQuery } from "@tanstack/react-query";
import { Link } from "react-router";
import { metricsQuery, useCanManage } from "../../api/queries.ts";
import { ButtonLink } from "../../ui/Button.tsx";
import { BellIcon, PlusIcon } from "../../ui/icons.tsx";
import { Card, Page } from "../../ui/Page.tsx";
import { EmptyState, Skeleton } from "../../ui/feedback.tsx";
import { AlertsLoadError, AlertTabs, AlertStateBadge } from "./components.tsx";
import { alertsQuery } from "./queries.ts";
import { describeCondition } from "./labels.ts";

const URGENCY = { firing: 0, no_data: 1, ok: 2 } as const;

/** List of alert rules. Enabled, unacknowledged and firing rules come first. */
export function Alerts() {
  const alerts = useQuery(alertsQuery);
  const metrics = useQuery(metricsQuery());
  const manage = useCanManage();
  const metricsById = new Map(metrics.data?.items.map((metric) => [metric.metricId, metric]));
  const items = (alerts.data?.items ?? []).toSorted((a, b) => Number(!a.enabled) - Number(!b.enabled) || Number(a.acknowledged) - Number(b.acknowledged) || URGENCY[a.state] - URGENCY[b.state]);
  const create = manage && <ButtonLink to="/alerts/new" variant="primary" icon={<PlusIcon />}>New alert</ButtonLink>;
  return (
    <Page title="Alerts" description="Get notified when a metric crosses a threshold." actions={items.length > 0 && create}>
      {!alerts.isError && <div className="toolbar"><AlertTabs current="rules" /></div>}
      <Card flush label="Rules">
        {alerts.isPending ? (
          <div className="card-body"><Skeleton /></div>
        ) : alerts.isError && !alerts.data ? (
          <AlertsLoadError error={alerts.error} onRetry={() => alerts.refetch()} />
        ) : items.length === 0 ? (
          <EmptyState icon={<BellIcon size={26} />} title="No alerts yet" action={create}>
            <p>An alert rule watches one metric and notifies the channels you choose when its condition is met.</p>
          </EmptyState>
        ) : (
          <div className="table-box">
            <table className="table">
              <thead><tr><th>Rule</th><th>State</th><th className="hide-on-phone">Fires when</th><th className="right hide-on-phone">Channels</th></tr></thead>
              <tbody>
                {items.map((alert) => {
                  const metric = metricsById.get(alert.metricId);
                  return (
                    <tr key={alert.alertId}>
                      <td><Link className="table-name" to={alert.alertId}>{alert.name}</Link><span className="table-sub">{metric?.metricName ?? alert.metricId}</span></td>
                      <td><AlertStateBadge alert={alert} /></td>
                      <td className="hide-on-phone">{describeCondition(alert, metric?.unit ?? null)}</td>
                      <td className="right hide-on-phone">{alert.channels.length}</td>
                    </tr>
                  );
                })}
              </tbody>
            </table>
          </div>
        )}
      </Card>
    </Page>
  );
}
