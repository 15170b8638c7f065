import { useEffect, useState } from "react";
import { onToast, type Toast } from "./toast.ts";

const SHOWN_MS = 5000;

/** Where notes are shown, and read out. */
export function Toasts() {
  const [toasts, setToasts] = useState<Toast[]>([]);
  useEffect(
    () =>
      onToast((toast) => {
        setToasts((toasts) => [...toasts.slice(-2), toast]);
        setTimeout(() => setToasts((toasts) => toasts.filter((other) => other.id !== toast.id)), SHOWN_MS);
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
