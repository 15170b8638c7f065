import { useEffect, useRef, useState, useSyncExternalStore } from "react";
import { stream, type LivePoint } from "./stream.ts";

/** Calls `onPoint` for each point of these metrics as it comes; of all metrics where none are named. */
export function useLivePoints(metrics: string[] | undefined, onPoint: (point: LivePoint) => void, onGap?: () => void): void {
  const latest = useRef({ onPoint, onGap });
  latest.current = { onPoint, onGap };
  const named = metrics?.join(",");
  useEffect(
    () =>
      stream.subscribe({
        metrics: named === undefined ? undefined : named.split(",").filter(Boolean),
        onPoint: (point) => latest.current.onPoint(point),
        onGap: () => latest.current.onGap?.(),
      }),
    [named],
  );
}

const SOON_MS = 100;
const SETTLED_MS = 1000;

/**
 * Calls `refresh` when points of these metrics came: soon after the first, not more often than every `everyMs`, and once
 * more when none has come for a second. The stream may be ahead of what can be read, but not by more.
 */
export function useLiveRefresh(metrics: string[] | undefined, refresh: () => void, everyMs = 1500): void {
  const timers = useRef<{ last: number; next?: ReturnType<typeof setTimeout>; settled?: ReturnType<typeof setTimeout> }>({ last: 0 });
  const latest = useRef(refresh);
  latest.current = refresh;
  const ask = () => {
    const current = timers.current;
    clearTimeout(current.settled);
    current.settled = setTimeout(() => latest.current(), SETTLED_MS);
    current.next ??= setTimeout(() => {
      current.next = undefined;
      current.last = Date.now();
      latest.current();
    }, Math.max(SOON_MS, current.last + everyMs - Date.now()));
  };
  useLivePoints(metrics, ask, ask);
  useEffect(() => {
    const current = timers.current;
    return () => {
      clearTimeout(current.next);
      clearTimeout(current.settled);
      current.next = undefined;
    };
  }, []);
}

/** Whether points are coming in live. */
export function useIsLive(): boolean {
  return useSyncExternalStore(stream.watch, stream.isLive);
}

/** What time it is, renewed every so often. */
export function useNow(everyMs = 15_000): number {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), everyMs);
    return () => clearInterval(timer);
  }, [everyMs]);
  return now;
}
