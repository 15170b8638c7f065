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

/** Calls `refresh` when points of these metrics came, soon after the first and not more often than every `everyMs`. */
export function useLiveRefresh(metrics: string[] | undefined, refresh: () => void, everyMs = 1500): void {
  const state = useRef<{ last: number; timer: ReturnType<typeof setTimeout> | undefined }>({ last: 0, timer: undefined });
  const latest = useRef(refresh);
  latest.current = refresh;
  const ask = () => {
    const current = state.current;
    if (current.timer !== undefined) return;
    const wait = Math.max(100, current.last + everyMs - Date.now());
    current.timer = setTimeout(() => {
      current.timer = undefined;
      current.last = Date.now();
      latest.current();
    }, wait);
  };
  useLivePoints(metrics, ask, ask);
  useEffect(() => {
    const current = state.current;
    return () => {
      clearTimeout(current.timer);
      current.timer = undefined;
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
