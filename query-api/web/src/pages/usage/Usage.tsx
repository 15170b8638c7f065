import { useQuery } from "@tanstack/react-query";
import { Link, useSearchParams } from "react-router";
import { useSession } from "../../api/queries.ts";
import type { UsageReport } from "../../api/types.ts";
import { formatCount } from "../../format/numbers.ts";
import { formatAgo, formatTime } from "../../format/times.ts";
import { useNow } from "../../live/hooks.ts";
import { CheckIcon, WarnIcon } from "../../ui/icons.tsx";
import { Card, Page } from "../../ui/Page.tsx";
import { Failed, Skeleton } from "../../ui/states.tsx";
import { Ago } from "../../ui/Time.tsx";
import { Outcomes } from "./Outcomes.tsx";
import { usageQuery, type UsageSpan } from "./query.ts";

const SPANS: readonly (readonly [UsageSpan, string])[] = [["1h", "Last hour"], ["24h", "Last 24 hours"], ["7d", "Last 7 days"], ["30d", "Last 30 days"]];

/** What the project’s keys are used for. */
export function Usage() {
  const [params, setParams] = useSearchParams();
  const span = SPANS.find(([name]) => name === params.get("range"))?.[0] ?? "24h";
  const usage = useQuery(usageQuery(span));
  return (
    <Page title="Usage" about="How many requests were made, how they ended, and what looks unusual.">
      {usage.isPending ? (
        <Skeleton rows={3} tall />
      ) : usage.isError && !usage.data ? (
        <Failed error={usage.error} onRetry={() => usage.refetch()} />
      ) : usage.data ? (
        <>
          <div className="usage-top">
            <Quota quota={usage.data.quota} />
            <Notices notices={usage.data.notices} />
          </div>
          <Card title="Requests" actions={
            <div className="segments" role="group" aria-label="Range of time">
              {SPANS.map(([name, label]) => (
                <button key={name} type="button" className="segment" aria-pressed={span === name} aria-label={label} onClick={() => setParams({ range: name }, { replace: true })}>{name}</button>
              ))}
            </div>
          }>
            <Outcomes items={usage.data.items} span={span} />
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
  const share = limit ? Math.min(1, quota.used / limit) : 0;
  const kind = share >= 1 ? "bad" : share >= 0.9 ? "warn" : "good";
  return (
    <Card title="This hour">
      <div className="quota">
        <p className="quota-number numeric">{limit === null ? <strong>No limit</strong> : <><strong>{formatCount(quota.used)}</strong><span className="quiet"> of {formatCount(limit)} requests</span></>}</p>
        {limit !== null && (
          <div className={`meter meter-${kind}`} role="meter" aria-label="Requests of this hour" aria-valuemin={0} aria-valuemax={limit} aria-valuenow={Math.min(quota.used, limit)}>
            <span style={{ width: `${share * 100}%` }} />
          </div>
        )}
        <p className="quiet small">
          Plan <strong className="plan">{plan}</strong>. {limit === null ? "Its requests are not counted against a quota." : `It begins anew at ${formatTime(quota.resetAt)}, ${formatAgo(quota.resetAt, now)}.`}
        </p>
      </div>
    </Card>
  );
}

function Notices({ notices }: { notices: UsageReport["notices"] }) {
  return (
    <Card title="Notices">
      {notices.length === 0 ? (
        <p className="quiet row"><CheckIcon /> Nothing unusual in this time.</p>
      ) : (
        <ul className="notices">
          {notices.map((notice) => (
            <li key={`${notice.kind} ${notice.at} ${notice.connectionId}`}>
              <WarnIcon />
              <div><p>{notice.message}</p><p className="quiet small"><Ago at={notice.at} />{notice.connectionId && <> · <Link to={`/integrations/custom-webhooks/${notice.connectionId}`}>See the connection</Link></>}</p></div>
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
          <thead><tr><th>Name</th><th>Last used</th><th className="right">Addresses</th></tr></thead>
          <tbody>
            {connections.map((one) => (
              <tr key={one.connectionId ?? ""}>
                <td>{one.connectionId && one.name ? <Link className="table-name" to={`/integrations/custom-webhooks/${one.connectionId}`}>{one.name}</Link> : <span className="quiet">{one.connectionId ? "A deleted connection" : "Keys without a connection"}</span>}</td>
                <td><Ago at={one.lastUsedAt} /></td>
                <td className="right">{formatCount(one.addresses)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </Card>
  );
}
