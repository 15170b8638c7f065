import { Link } from "react-router";
import { ApiError } from "../../api/error.ts";
import { useSession } from "../../api/queries.ts";
import type { Alert } from "../../api/types.ts";
import { BellIcon } from "../../ui/icons.tsx";
import { Badge, Empty, Failed } from "../../ui/states.tsx";

/** What a rule stands at. */
export function StateOf({ alert }: { alert: Pick<Alert, "state" | "acknowledged" | "enabled"> }) {
  if (!alert.enabled) return <Badge>Off</Badge>;
  if (alert.state === "firing") return alert.acknowledged ? <Badge kind="warn">Firing, acknowledged</Badge> : <Badge kind="bad">Firing</Badge>;
  if (alert.state === "no_data") return <Badge kind="warn">No data</Badge>;
  return <Badge kind="good">OK</Badge>;
}

export function StateWord({ state }: { state: string }) {
  const kinds = { ok: "good", firing: "bad", no_data: "warn" } as const;
  const names = { ok: "OK", firing: "Firing", no_data: "No data" } as const;
  const known = state as keyof typeof kinds;
  return <Badge kind={kinds[known] ?? "neutral"}>{names[known] ?? state}</Badge>;
}

/** The parts of alerts. */
export function AlertTabs({ current }: { current: "rules" | "channels" }) {
  return (
    <nav className="segments" aria-label="Alerts">
      <Link className="segment segment-link" to="/alerts" aria-current={current === "rules" ? "page" : undefined}>Rules</Link>
      <Link className="segment segment-link" to="/alerts/channels" aria-current={current === "channels" ? "page" : undefined}>Channels</Link>
    </nav>
  );
}

/** Why alerts cannot be shown: most often because the plan has none. */
export function AlertsFailed({ error, onRetry }: { error: unknown; onRetry: () => void }) {
  const { plan } = useSession();
  if (error instanceof ApiError && error.code === "plan_required") {
    return (
      <Empty icon={<BellIcon size={26} />} title="Alerts come with the plan Pro">
        <p>On the plan <strong className="plan">{plan}</strong> metrics and dashboards are yours; alerts that tell Slack, Discord, Teams or your inbox begin with Pro. Whoever runs this installation can change the plan.</p>
      </Empty>
    );
  }
  return <Failed error={error} onRetry={onRetry} />;
}
