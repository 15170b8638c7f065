/** Totals and chart series of requests by outcome. */

import type { ChartSeries } from "../../chart/types.ts";

export interface UsageItem {
  timestamp: number;
  outcome: string;
  requests: number;
  metrics: number;
}

export interface OutcomeTotal {
  outcome: string;
  requests: number;
  metrics: number;
}

const LABELS: Record<string, string> = {
  accepted: "Accepted",
  replayed: "Replayed (stored once)",
  invalid_json: "Invalid JSON",
  invalid_batch: "Invalid batch",
  invalid_key: "Unknown key",
  revoked_key: "Revoked key",
  missing_key: "Missing key",
  project_mismatch: "Wrong project ID",
  insufficient_scope: "Insufficient scope",
  quota_exceeded: "Quota exceeded",
  idempotency_key_reused: "Idempotency key reused",
  body_too_large: "Body too large",
  request_timeout: "Request timeout",
  unavailable: "Unavailable",
};

/** Palette indices: green for accepted, blue for replayed, other colours for errors. */
const COLOUR_SLOTS: Record<string, number> = { accepted: 2, replayed: 0, quota_exceeded: 4, revoked_key: 1, invalid_batch: 5, invalid_json: 3 };

export const outcomeLabel = (outcome: string): string => LABELS[outcome] ?? outcome;
export const outcomeColourSlot = (outcome: string): number => COLOUR_SLOTS[outcome] ?? 7;

/** Sums requests and metrics by outcome, most frequent first. */
export function totalsByOutcome(items: UsageItem[]): OutcomeTotal[] {
  const sums = new Map<string, OutcomeTotal>();
  for (const { outcome, requests, metrics } of items) {
    const sum = sums.get(outcome) ?? { outcome, requests: 0, metrics: 0 };
    sums.set(outcome, { outcome, requests: sum.requests + requests, metrics: sum.metrics + metrics });
  }
  return [...sums.values()].sort((a, b) => b.requests - a.requests);
}

/** Returns one stacked bar series per outcome. */
export function outcomeSeries(items: UsageItem[]): ChartSeries[] {
  return totalsByOutcome(items).map(({ outcome }) => {
    const buckets = new Map<number, number>();
    for (const item of items.filter((item) => item.outcome === outcome)) {
      buckets.set(item.timestamp, (buckets.get(item.timestamp) ?? 0) + item.requests);
    }
    const points = [...buckets].sort(([a], [b]) => a - b).map(([timestamp, value]) => ({ timestamp, value }));
    return { name: outcomeLabel(outcome), unit: null, slot: outcomeColourSlot(outcome), points, stack: "requests" };
  });
}
