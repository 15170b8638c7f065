import { formatRelative, formatExact } from "../format/times.ts";
import { useNow } from "../live/hooks.ts";

/** Relative time, with the exact time as a tooltip. */
export function RelativeTime({ at, never = "Never" }: { at: number | null | undefined; never?: string }) {
  const now = useNow();
  if (at === null || at === undefined) return <span className="muted">{never}</span>;
  return <time dateTime={new Date(at).toISOString()} title={formatExact(at)}>{formatRelative(at, Math.max(now, at))}</time>;
}
