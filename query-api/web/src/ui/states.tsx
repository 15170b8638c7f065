import type { ReactNode } from "react";
import { ApiError, messageOf } from "../api/error.ts";
import { Button } from "./Button.tsx";
import { WarnIcon } from "./icons.tsx";

/** What stands where there is nothing yet: why, and what to do about it. */
export function Empty({ icon, title, children, action }: { icon?: ReactNode; title: string; children?: ReactNode; action?: ReactNode }) {
  return (
    <div className="empty">
      {icon && <div className="empty-icon">{icon}</div>}
      <h2>{title}</h2>
      {children && <div className="empty-text">{children}</div>}
      {action && <div className="empty-action">{action}</div>}
    </div>
  );
}

/** What stands where something could not be read. */
export function Failed({ error, onRetry }: { error: unknown; onRetry?: () => void }) {
  const known = error instanceof ApiError ? error : undefined;
  return (
    <div className="empty" role="alert">
      <div className="empty-icon empty-icon-bad"><WarnIcon size={26} /></div>
      <h2>{known?.status === 404 ? "There is nothing here" : known?.status === 0 ? "The server cannot be reached" : "This could not be loaded"}</h2>
      <div className="empty-text">
        <p>{known?.status === 0 ? "Check the connection, then try again." : messageOf(error)}</p>
        {known?.requestId && <p className="quiet small">Request <code>{known.requestId}</code></p>}
      </div>
      {onRetry && <div className="empty-action"><Button onClick={onRetry}>Try again</Button></div>}
    </div>
  );
}

/** A warning within a page. */
export function Alert({ children, kind = "bad" }: { children: ReactNode; kind?: "bad" | "warn" | "info" }) {
  return (
    <div className={`alert alert-${kind}`} role={kind === "bad" ? "alert" : undefined}>
      {kind !== "info" && <WarnIcon size={18} />}
      <div>{children}</div>
    </div>
  );
}

/** What stands where something is being read. */
export function Skeleton({ rows = 4, tall }: { rows?: number; tall?: boolean }) {
  return (
    <div className="skeletons" aria-busy="true" aria-label="Loading" role="status">
      {Array.from({ length: rows }, (_, row) => <div key={row} className={`skeleton${tall ? " skeleton-tall" : ""}`} />)}
    </div>
  );
}

/** A word about a state. */
export function Badge({ kind = "neutral", children }: { kind?: "neutral" | "good" | "bad" | "warn" | "accent"; children: ReactNode }) {
  return <span className={`badge badge-${kind}`}>{children}</span>;
}
