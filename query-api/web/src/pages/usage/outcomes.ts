/** Requests by outcome, put together for a chart and a table. */

import type { ChartSeries } from "../../chart/model.ts";

export interface UsageItem {
  timestamp: number;
  outcome: string;
  requests: number;
  metrics: number;
}

export interface Outcome {
  outcome: string;
  requests: number;
  metrics: number;
}

const NAMES: Record<string, string> = {
  accepted: "Accepted",
  replayed: "Repeated (stored once)",
  invalid_json: "Not JSON",
  invalid_batch: "Not valid",
  invalid_key: "Unknown key",
  revoked_key: "Revoked key",
  missing_key: "No key",
  project_mismatch: "Another project’s id",
  insufficient_scope: "Key may not send",
  quota_exceeded: "Over quota",
  idempotency_key_reused: "Idempotency key reused",
  body_too_large: "Too large",
  request_timeout: "Broken off",
  unavailable: "Unavailable",
};

/** Colours that say something: good, repeated, and faults. */
const SLOTS: Record<string, number> = { accepted: 2, replayed: 0, quota_exceeded: 4, revoked_key: 1, invalid_batch: 5, invalid_json: 3 };

export const outcomeName = (outcome: string): string => NAMES[outcome] ?? outcome;
export const outcomeSlot = (outcome: string): number => SLOTS[outcome] ?? 7;

/** All of the range, the most frequent first. */
export function totals(items: UsageItem[]): Outcome[] {
  const sums = new Map<string, Outcome>();
  for (const { outcome, requests, metrics } of items) {
    const sum = sums.get(outcome) ?? { outcome, requests: 0, metrics: 0 };
    sums.set(outcome, { outcome, requests: sum.requests + requests, metrics: sum.metrics + metrics });
  }
  return [...sums.values()].sort((a, b) => b.requests - a.requests);
}

/** A stack of bars for each bucket. */
export function bars(items: UsageItem[]): ChartSeries[] {
  return totals(items).map(({ outcome }) => {
    const buckets = new Map<number, number>();
    for (const item of items.filter((item) => item.outcome === outcome)) {
      buckets.set(item.timestamp, (buckets.get(item.timestamp) ?? 0) + item.requests);
    }
    const points = [...buckets].sort(([a], [b]) => a - b).map(([timestamp, value]) => ({ timestamp, value }));
    return { name: outcomeName(outcome), unit: null, slot: outcomeSlot(outcome), points, stack: "requests" };
  });
}
