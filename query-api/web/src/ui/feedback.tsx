import type { ReactNode } from "react";
import { ApiError, errorMessage } from "../api/error.ts";
import { Button } from "./Button.tsx";
import { WarnIcon } from "./icons.tsx";

/** Placeholder for missing content, with the reason and an action. */
export function EmptyState({ icon, title, children, action }: { icon?: ReactNode; title: string; children?: ReactNode; action?: ReactNode }) {
  return (
    <div className="empty">
      {icon && <div className="empty-icon">{icon}</div>}
      <h2>{title}</h2>
      {children && <div className="empty-text">{children}</div>}
      {action && <div className="empty-action">{action}</div>}
    </div>
  );
}

/** Placeholder for content that could not be loaded. */
export function ErrorState({ error, onRetry }: { error: unknown; onRetry?: () => void }) {
  const apiError = error instanceof ApiError ? error : undefined;
  return (
    <div className="empty" role="alert">
      <div className="empty-icon empty-icon-bad"><WarnIcon size={26} /></div>
      <h2>{apiError?.status === 404 ? "Not found" : apiError?.status === 0 ? "Could not reach the server" : "Could not load the data"}</h2>
      <div className="empty-text">
        <p>{apiError?.status === 0 ? "Check your connection and try again." : errorMessage(error)}</p>
        {apiError?.requestId && <p className="muted small">Request ID: <code>{apiError.requestId}</code></p>}
      </div>
      {onRetry && <div className="empty-action"><Button onClick={onRetry}>Try again</Button></div>}
    </div>
  );
}

/** Inline message. */
export function Alert({ children, kind = "bad" }: { children: ReactNode; kind?: "bad" | "warn" | "info" }) {
  return (
    <div className={`alert alert-${kind}`} role={kind === "bad" ? "alert" : undefined}>
      {kind !== "info" && <WarnIcon size={18} />}
      <div>{children}</div>
    </div>
  );
}

/** Placeholder while content loads. */
export function Skeleton({ rows = 4, tall }: { rows?: number; tall?: boolean }) {
  return (
    <div className="skeletons" aria-busy="true" aria-label="Loading" role="status">
      {Array.from({ length: rows }, (_, row) => <div key={row} className={`skeleton${tall ? " skeleton-tall" : ""}`} />)}
    </div>
  );
}

/** Short state label. */
export function Badge({ kind = "neutral", children }: { kind?: "neutral" | "good" | "bad" | "warn" | "accent"; children: ReactNode }) {
  return <span className={`badge badge-${kind}`}>{children}</span>;
}
