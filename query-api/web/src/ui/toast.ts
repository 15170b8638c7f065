/** Short notes about what was just done. */
export interface Toast {
  id: number;
  text: string;
  kind: "info" | "error";
}

type Listener = (toast: Toast) => void;
const listeners = new Set<Listener>();
let next = 1;

export function tell(text: string, kind: Toast["kind"] = "info"): void {
  const toast = { id: next++, text, kind };
  listeners.forEach((listener) => listener(toast));
}

export function onToast(listener: Listener): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}
