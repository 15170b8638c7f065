import { formatAgo, formatExact } from "../format/times.ts";
import { useNow } from "../live/hooks.ts";

/** How long ago something was, with the exact moment behind it. */
export function Ago({ at, never = "Never" }: { at: number | null | undefined; never?: string }) {
  const now = useNow();
  if (at === null || at === undefined) return <span className="quiet">{never}</span>;
  return <time dateTime={new Date(at).toISOString()} title={formatExact(at)}>{formatAgo(at, Math.max(now, at))}</time>;
}
