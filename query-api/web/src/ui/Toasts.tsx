import { useEffect, useState } from "react";
import { onToast, type Toast } from "./toast.ts";

const TOAST_MS = 5000;

/** Shows toasts, and announces them to screen readers. */
export function Toasts() {
  const [toasts, setToasts] = useState<Toast[]>([]);
  useEffect(
    () =>
      onToast((toast) => {
        setToasts((toasts) => [...toasts.slice(-2), toast]);
        setTimeout(() => setToasts((toasts) => toasts.filter((other) => other.id !== toast.id)), TOAST_MS);
      }),
    [],
  );
  return (
    <div className="toasts" role="status" aria-live="polite">
      {toasts.map((toast) => (
        <div key={toast.id} className={`toast toast-${toast.kind}`}>{toast.text}</div>
      ))}
    </div>
  );
}
