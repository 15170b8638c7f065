import { useEffect, useRef, useState, useSyncExternalStore } from "react";
import { stream, type LivePoint } from "./stream.ts";

/** Calls `onPoint` for each new point of these metrics, or of all metrics if `metrics` is undefined. */
export function useLivePoints(metrics: string[] | undefined, onPoint: (point: LivePoint) => void, onGap?: () => void): void {
  const latest = useRef({ onPoint, onGap });
  latest.current = { onPoint, onGap };
  const metricIds = metrics?.join(",");
  useEffect(
    () =>
      stream.subscribe({
        metrics: metricIds === undefined ? undefined : metricIds.split(",").filter(Boolean),
        onPoint: (point) => latest.current.onPoint(point),
        onGap: () => latest.current.onGap?.(),
      }),
    [metricIds],
  );
}

const FIRST_REFRESH_DELAY_MS = 100;
const FINAL_REFRESH_DELAY_MS = 1000;

/**
 * Calls `refresh` when points of these metrics arrive: shortly after the first one, at most every `everyMs`, and once
 * more when none has arrived for a second. The last call is needed because the stream may be up to a second ahead of
 * queries.
 */
export function useLiveRefresh(metrics: string[] | undefined, refresh: () => void, everyMs = 1500): void {
  const timers = useRef<{ last: number; next?: ReturnType<typeof setTimeout>; settled?: ReturnType<typeof setTimeout> }>({ last: 0 });
  const latest = useRef(refresh);
  latest.current = refresh;
  const scheduleRefresh = () => {
    const current = timers.current;
    clearTimeout(current.settled);
    current.settled = setTimeout(() => latest.current(), FINAL_REFRESH_DELAY_MS);
    current.next ??= setTimeout(() => {
      current.next = undefined;
      current.last = Date.now();
      latest.current();
    }, Math.max(FIRST_REFRESH_DELAY_MS, current.last + everyMs - Date.now()));
  };
  useLivePoints(metrics, scheduleRefresh, scheduleRefresh);
  useEffect(() => {
    const current = timers.current;
    return () => {
      clearTimeout(current.next);
      clearTimeout(current.settled);
      current.next = undefined;
    };
  }, []);
}

/** Returns true while the live stream is connected. */
export function useIsLive(): boolean {
  return useSyncExternalStore(stream.watch, stream.isLive);
}

/** Returns the current time and rerenders every `everyMs`. */
export function useNow(everyMs = 15_000): number {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), everyMs);
    return () => clearInterval(timer);
  }, [everyMs]);
  return now;
}
