/** Short message about the result of an action. */
export interface Toast {
  id: number;
  text: string;
  kind: "info" | "error";
}

type Listener = (toast: Toast) => void;
const listeners = new Set<Listener>();
let next = 1;

export function showToast(text: string, kind: Toast["kind"] = "info"): void {
  const toast = { id: next++, text, kind };
  listeners.forEach((listener) => listener(toast));
}

export function onToast(listener: Listener): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}
