/**
 * Live stream of points and notifications: one connection for all subscriptions of the page.
 *
 * The connection requests only the metrics that have subscriptions. It is closed while the page is hidden, because
 * browsers limit the connections per host, and resumes from the last event id.
 */

export interface LivePoint {
  metricId: string;
  timestamp: number;
  value: number;
  receivedAt: number;
}

export interface Subscription {
  /** Metric ids; all metrics of the project if undefined. */
  metrics?: string[];
  onPoint?: (point: LivePoint) => void;
  /** Called when points may have been missed, so that data must be read again. */
  onGap?: () => void;
  /** Called when the inbox has a new notification. Requires a connection, that is, some subscription to points. */
  onNotice?: () => void;
}

const CONNECT_DELAY_MS = 50;
const RETRY_MS = [1000, 2000, 5000, 10_000];

class LiveStream {
  private readonly subscriptions = new Set<Subscription>();
  private readonly watchers = new Set<() => void>();
  private source: EventSource | undefined;
  private filter: string | undefined;
  private lastId = "";
  private timer: ReturnType<typeof setTimeout> | undefined;
  private failures = 0;
  private live = false;

  constructor() {
    document.addEventListener("visibilitychange", () => {
      this.scheduleConnect(0);
      if (!document.hidden) this.subscriptions.forEach((subscription) => subscription.onGap?.());
    });
    window.addEventListener("online", () => this.scheduleConnect(0));
  }

  subscribe(subscription: Subscription): () => void {
    this.subscriptions.add(subscription);
    this.scheduleConnect(CONNECT_DELAY_MS);
    return () => {
      this.subscriptions.delete(subscription);
      this.scheduleConnect(CONNECT_DELAY_MS);
    };
  }

  /** Returns true while the connection is open. */
  isLive = (): boolean => this.live;

  watch = (watcher: () => void): (() => void) => {
    this.watchers.add(watcher);
    return () => this.watchers.delete(watcher);
  };

  private scheduleConnect(afterMs: number): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.connect(), afterMs);
  }

  private connect(): void {
    const filter = document.hidden ? undefined : this.requestedMetrics();
    if (filter === this.filter && this.source && this.source.readyState !== EventSource.CLOSED) return;
    this.source?.close();
    this.source = undefined;
    this.setLive(false);
    this.filter = filter;
    if (filter === undefined) return;
    const params = new URLSearchParams();
    if (filter) params.set("metricIds", filter);
    if (this.lastId) params.set("lastEventId", this.lastId);
    const source = new EventSource(`/api/v1/stream?${params}`);
    this.source = source;
    source.onopen = () => {
      // Points that arrived while the connection was down may be missing.
      if (this.failures > 0) this.subscriptions.forEach((subscription) => subscription.onGap?.());
      this.failures = 0;
      this.setLive(true);
    };
    source.addEventListener("point", (event) => {
      this.lastId = event.lastEventId || this.lastId;
      const point = JSON.parse(event.data) as LivePoint;
      for (const subscription of this.subscriptions) {
        if (!subscription.metrics || subscription.metrics.includes(point.metricId)) subscription.onPoint?.(point);
      }
    });
    source.addEventListener("notice", () => this.subscriptions.forEach((subscription) => subscription.onNotice?.()));
    source.addEventListener("gap", () => this.subscriptions.forEach((subscription) => subscription.onGap?.()));
    source.onerror = () => {
      this.setLive(false);
      source.close();
      const delay = RETRY_MS[Math.min(this.failures, RETRY_MS.length - 1)] ?? 10_000;
      this.failures += 1;
      this.scheduleConnect(delay);
    };
  }

  /** Metric ids of all subscriptions, comma-separated. Empty means all metrics, `undefined` no connection. */
  private requestedMetrics(): string | undefined {
    if (this.subscriptions.size === 0) return undefined;
    const metrics = new Set<string>();
    for (const subscription of this.subscriptions) {
      if (!subscription.metrics) return "";
      subscription.metrics.forEach((metric) => metrics.add(metric));
    }
    return metrics.size === 0 ? undefined : metrics.size > 500 ? "" : [...metrics].sort().join(",");
  }

  private setLive(live: boolean): void {
    if (this.live === live) return;
    this.live = live;
    this.watchers.forEach((watcher) => watcher());
  }
}

export const stream = new LiveStream();
