import { useQuery } from "@tanstack/react-query";
import { Link, useSearchParams } from "react-router";
import { useSession } from "../../api/queries.ts";
import type { UsageReport } from "../../api/types.ts";
import { formatCount } from "../../format/numbers.ts";
import { formatRelative, formatTime } from "../../format/times.ts";
import { useNow } from "../../live/hooks.ts";
import { CheckIcon, WarnIcon } from "../../ui/icons.tsx";
import { Card, Page } from "../../ui/Page.tsx";
import { ErrorState, Skeleton } from "../../ui/feedback.tsx";
import { RelativeTime } from "../../ui/RelativeTime.tsx";
import { Outcomes } from "./Outcomes.tsx";
import { usageQuery, type UsageRange } from "./queries.ts";

const RANGES: readonly (readonly [UsageRange, string])[] = [["1h", "Last hour"], ["24h", "Last 24 hours"], ["7d", "Last 7 days"], ["30d", "Last 30 days"]];

/** Usage report of the project. */
export function Usage() {
  const [params, setParams] = useSearchParams();
  const range = RANGES.find(([name]) => name === params.get("range"))?.[0] ?? "24h";
  const usage = useQuery(usageQuery(range));
  return (
    <Page title="Usage" description="Requests, their outcomes, and unusual activity.">
      {usage.isPending ? (
        <Skeleton rows={3} tall />
      ) : usage.isError && !usage.data ? (
        <ErrorState error={usage.error} onRetry={() => usage.refetch()} />
      ) : usage.data ? (
        <>
          <div className="usage-top">
            <Quota quota={usage.data.quota} />
            <Notices notices={usage.data.notices} />
          </div>
          <Card title="Requests" actions={
            <div className="segments" role="group" aria-label="Time range">
              {RANGES.map(([name, label]) => (
                <button key={name} type="button" className="segment" aria-pressed={range === name} aria-label={`${name}: ${label}`} onClick={() => setParams({ range: name }, { replace: true })}>{name}</button>
              ))}
            </div>
          }>
            <Outcomes items={usage.data.items} period={range} />
          </Card>
          <Connections connections={usage.data.connections} />
        </>
      ) : null}
    </Page>
  );
}

function Quota({ quota }: { quota: UsageReport["quota"] }) {
  const { plan } = useSession();
  const now = useNow();
  const limit = quota.limit ?? null;
  const usedShare = limit ? Math.min(1, quota.used / limit) : 0;
  const kind = usedShare >= 1 ? "bad" : usedShare >= 0.9 ? "warn" : "good";
  return (
    <Card title="This hour">
      <div className="quota">
        <p className="quota-number numeric">{limit === null ? <strong>No limit</strong> : <><strong>{formatCount(quota.used)}</strong><span className="muted"> of {formatCount(limit)} requests</span></>}</p>
        {limit !== null && (
          <div className={`meter meter-${kind}`} role="meter" aria-label="Requests this hour" aria-valuemin={0} aria-valuemax={limit} aria-valuenow={Math.min(quota.used, limit)}>
            <span style={{ width: `${usedShare * 100}%` }} />
          </div>
        )}
        <p className="muted small">
          Plan: <strong className="plan">{plan}</strong>. {limit === null ? "Requests are not limited." : `The quota resets at ${formatTime(quota.resetAt)}, ${formatRelative(quota.resetAt, now)}.`}
        </p>
      </div>
    </Card>
  );
}

function Notices({ notices }: { notices: UsageReport["notices"] }) {
  return (
    <Card title="Notices">
      {notices.length === 0 ? (
        <p className="muted row"><CheckIcon /> No unusual activity in this period.</p>
      ) : (
        <ul className="notices">
          {notices.map((notice) => (
            <li key={`${notice.kind} ${notice.at} ${notice.connectionId}`}>
              <WarnIcon />
              <div><p>{notice.message}</p><p className="muted small"><RelativeTime at={notice.at} />{notice.connectionId && <> · <Link to={`/integrations/custom-webhooks/${notice.connectionId}`}>View connection</Link></>}</p></div>
            </li>
          ))}
        </ul>
      )}
    </Card>
  );
}

function Connections({ connections }: { connections: UsageReport["connections"] }) {
  if (connections.length === 0) return null;
  return (
    <Card title="Connections" flush>
      <div className="table-box">
        <table className="table">
          <thead><tr><th>Name</th><th>Last used</th><th className="right">IP addresses</th></tr></thead>
          <tbody>
            {connections.map((connection) => (
              <tr key={connection.connectionId ?? ""}>
                <td>{connection.connectionId && connection.name ? <Link className="table-name" to={`/integrations/custom-webhooks/${connection.connectionId}`}>{connection.name}</Link> : <span className="muted">{connection.connectionId ? "Deleted connection" : "Keys without a connection"}</span>}</td>
                <td><RelativeTime at={connection.lastUsedAt} /></td>
                <td className="right">{formatCount(connection.addresses)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </Card>
  );
}
