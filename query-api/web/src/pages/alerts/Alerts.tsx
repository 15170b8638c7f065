import { useQuery } from "@tanstack/react-query";
import { Link } from "react-router";
import { metricsQuery, useMayManage } from "../../api/queries.ts";
import { ButtonLink } from "../../ui/Button.tsx";
import { BellIcon, PlusIcon } from "../../ui/icons.tsx";
import { Card, Page } from "../../ui/Page.tsx";
import { Empty, Skeleton } from "../../ui/states.tsx";
import { AlertsFailed, AlertTabs, StateOf } from "./parts.tsx";
import { alertsQuery } from "./queries.ts";
import { conditionText } from "./words.ts";

const URGENCY = { firing: 0, no_data: 1, ok: 2 } as const;

/** All rules, those first that need somebody. */
export function Alerts() {
  const alerts = useQuery(alertsQuery);
  const metrics = useQuery(metricsQuery());
  const manage = useMayManage();
  const known = new Map(metrics.data?.items.map((metric) => [metric.metricId, metric]));
  const items = (alerts.data?.items ?? []).toSorted((a, b) => Number(!a.enabled) - Number(!b.enabled) || Number(a.acknowledged) - Number(b.acknowledged) || URGENCY[a.state] - URGENCY[b.state]);
  const create = manage && <ButtonLink to="/alerts/new" look="primary" icon={<PlusIcon />}>New alert</ButtonLink>;
  return (
    <Page title="Alerts" about="Be told when a metric is not what it should be." actions={items.length > 0 && create}>
      {!alerts.isError && <div className="toolbar"><AlertTabs current="rules" /></div>}
      <Card flush label="Rules">
        {alerts.isPending ? (
          <div className="card-body"><Skeleton /></div>
        ) : alerts.isError && !alerts.data ? (
          <AlertsFailed error={alerts.error} onRetry={() => alerts.refetch()} />
        ) : items.length === 0 ? (
          <Empty icon={<BellIcon size={26} />} title="No alerts yet" action={create}>
            <p>A rule watches one metric. As soon as its condition is true, the channels that you choose are told.</p>
          </Empty>
        ) : (
          <div className="table-box">
            <table className="table">
              <thead><tr><th>Rule</th><th>State</th><th className="phone-hide">Fires when</th><th className="right phone-hide">Channels</th></tr></thead>
              <tbody>
                {items.map((alert) => {
                  const metric = known.get(alert.metricId);
                  return (
                    <tr key={alert.alertId}>
                      <td><Link className="table-name" to={alert.alertId}>{alert.name}</Link><span className="table-sub">{metric?.metricName ?? alert.metricId}</span></td>
                      <td><StateOf alert={alert} /></td>
                      <td className="phone-hide">{conditionText(alert, metric?.unit ?? null)}</td>
                      <td className="right phone-hide">{alert.channels.length}</td>
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
