/**
 * Points as they come: one connection for the whole page, whoever listens.
 *
 * It names only the metrics that somebody listens to, rests while the page is hidden (browsers allow few connections
 * to a host), and goes on from the last event that it had.
 */

export interface LivePoint {
  metricId: string;
  timestamp: number;
  value: number;
  receivedAt: number;
}

export interface Subscription {
  /** Which metrics; all of the project if left out. */
  metrics?: string[];
  onPoint?: (point: LivePoint) => void;
  /** Points may have been missed: read again. */
  onGap?: () => void;
  /** The inbox has got something. It is told as long as there is a connection for somebody's points. */
  onNotice?: () => void;
}

const SETTLE_MS = 50;
const RETRY_MS = [1000, 2000, 5000, 10_000];

class Stream {
  private readonly subscriptions = new Set<Subscription>();
  private readonly watchers = new Set<() => void>();
  private source: EventSource | undefined;
  private wanted: string | undefined;
  private lastId = "";
  private timer: ReturnType<typeof setTimeout> | undefined;
  private failures = 0;
  private live = false;

  constructor() {
    document.addEventListener("visibilitychange", () => {
      this.settle(0);
      if (!document.hidden) this.subscriptions.forEach((one) => one.onGap?.());
    });
    window.addEventListener("online", () => this.settle(0));
  }

  subscribe(subscription: Subscription): () => void {
    this.subscriptions.add(subscription);
    this.settle(SETTLE_MS);
    return () => {
      this.subscriptions.delete(subscription);
      this.settle(SETTLE_MS);
    };
  }

  /** Whether the connection stands. */
  isLive = (): boolean => this.live;

  watch = (watcher: () => void): (() => void) => {
    this.watchers.add(watcher);
    return () => this.watchers.delete(watcher);
  };

  private settle(afterMs: number): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.connect(), afterMs);
  }

  private connect(): void {
    const wanted = document.hidden ? undefined : this.filter();
    if (wanted === this.wanted && this.source && this.source.readyState !== EventSource.CLOSED) return;
    this.source?.close();
    this.source = undefined;
    this.tell(false);
    this.wanted = wanted;
    if (wanted === undefined) return;
    const params = new URLSearchParams();
    if (wanted) params.set("metricIds", wanted);
    if (this.lastId) params.set("lastEventId", this.lastId);
    const source = new EventSource(`/api/v1/stream?${params}`);
    this.source = source;
    source.onopen = () => {
      // What came while there was no connection is not known here.
      if (this.failures > 0) this.subscriptions.forEach((one) => one.onGap?.());
      this.failures = 0;
      this.tell(true);
    };
    source.addEventListener("point", (event) => {
      this.lastId = event.lastEventId || this.lastId;
      const point = JSON.parse(event.data) as LivePoint;
      for (const one of this.subscriptions) {
        if (!one.metrics || one.metrics.includes(point.metricId)) one.onPoint?.(point);
      }
    });
    source.addEventListener("notice", () => this.subscriptions.forEach((one) => one.onNotice?.()));
    source.addEventListener("gap", () => this.subscriptions.forEach((one) => one.onGap?.()));
    source.onerror = () => {
      this.tell(false);
      source.close();
      const delay = RETRY_MS[Math.min(this.failures, RETRY_MS.length - 1)] ?? 10_000;
      this.failures += 1;
      this.settle(delay);
    };
  }

  /** The metrics that are listened to, comma-separated; empty for all; none if nobody listens. */
  private filter(): string | undefined {
    if (this.subscriptions.size === 0) return undefined;
    const metrics = new Set<string>();
    for (const one of this.subscriptions) {
      if (!one.metrics) return "";
      one.metrics.forEach((metric) => metrics.add(metric));
    }
    return metrics.size === 0 ? undefined : metrics.size > 500 ? "" : [...metrics].sort().join(",");
  }

  private tell(live: boolean): void {
    if (this.live === live) return;
    this.live = live;
    this.watchers.forEach((watcher) => watcher());
  }
}

export const stream = new Stream();
