import { Link } from "react-router";
import { ApiError } from "../../api/error.ts";
import { useSession } from "../../api/queries.ts";
import type { Alert } from "../../api/types.ts";
import { BellIcon } from "../../ui/icons.tsx";
import { Badge, EmptyState, ErrorState } from "../../ui/feedback.tsx";

/** Badge with the state of a rule, including disabled and acknowledged rules. */
export function AlertStateBadge({ alert }: { alert: Pick<Alert, "state" | "acknowledged" | "enabled"> }) {
  if (!alert.enabled) return <Badge>Disabled</Badge>;
  if (alert.state === "firing") return alert.acknowledged ? <Badge kind="warn">Firing, acknowledged</Badge> : <Badge kind="bad">Firing</Badge>;
  if (alert.state === "no_data") return <Badge kind="warn">No data</Badge>;
  return <Badge kind="good">OK</Badge>;
}

export function StateBadge({ state }: { state: string }) {
  const kinds = { ok: "good", firing: "bad", no_data: "warn" } as const;
  const names = { ok: "OK", firing: "Firing", no_data: "No data" } as const;
  const knownState = state as keyof typeof kinds;
  return <Badge kind={kinds[knownState] ?? "neutral"}>{names[knownState] ?? state}</Badge>;
}

/** Tabs of the alert pages. */
export function AlertTabs({ current }: { current: "rules" | "channels" }) {
  return (
    <nav className="segments" aria-label="Alerts">
      <Link className="segment segment-link" to="/alerts" aria-current={current === "rules" ? "page" : undefined}>Rules</Link>
      <Link className="segment segment-link" to="/alerts/channels" aria-current={current === "channels" ? "page" : undefined}>Channels</Link>
    </nav>
  );
}

/** Error state of the alert pages. It explains plans without alerts. */
export function AlertsLoadError({ error, onRetry }: { error: unknown; onRetry: () => void }) {
  const { plan } = useSession();
  if (error instanceof ApiError && error.code === "plan_required") {
    return (
      <EmptyState icon={<BellIcon size={26} />} title="Alerts require the Pro plan">
        <p>Your <strong className="plan">{plan}</strong> plan includes metrics and dashboards. Alerts to Slack, Discord, Microsoft Teams or your inbox are available from the Pro plan. To change the plan, ask the operator of this installation.</p>
      </EmptyState>
    );
  }
  return <ErrorState error={error} onRetry={onRetry} />;
}
