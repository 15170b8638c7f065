/** Labels of alert rules and channels. */

import type { Alert } from "../../api/types.ts";
import { aggregationLabel } from "../../format/aggregations.ts";
import { formatValue } from "../../format/numbers.ts";

type Operator = Alert["operator"];
type Window = Alert["range"];

export const OPERATORS: readonly (readonly [Operator, string])[] = [
  [">", "is above"],
  [">=", "is at least"],
  ["<", "is below"],
  ["<=", "is at most"],
  ["==", "is equal to"],
  ["!=", "is not equal to"],
];

export const WINDOWS: readonly (readonly [Window, string])[] = [
  ["5m", "5 minutes"],
  ["15m", "15 minutes"],
  ["1h", "hour"],
  ["24h", "24 hours"],
  ["7d", "7 days"],
  ["30d", "30 days"],
];

export const CHANNEL_KINDS: readonly (readonly [string, string])[] = [
  ["in_app", "Inbox"],
  ["slack", "Slack"],
  ["discord", "Discord"],
  ["teams", "Microsoft Teams"],
  ["webhook", "Webhook"],
];

export const windowLabel = (window: string): string => WINDOWS.find(([name]) => name === window)?.[1] ?? window;
export const channelKindLabel = (kind: string): string => CHANNEL_KINDS.find(([name]) => name === kind)?.[1] ?? kind;

interface Condition {
  aggregation: string;
  operator: string;
  threshold: number;
  range: string;
}

/** Describes the condition of a rule: "Average over the last hour is above 200 ms". */
export function describeCondition({ aggregation, operator, threshold, range }: Condition, unit: string | null): string {
  const comparison = OPERATORS.find(([name]) => name === operator)?.[1] ?? operator;
  return `${aggregationLabel(aggregation)} over the last ${windowLabel(range)} ${comparison} ${formatValue(threshold, aggregation === "count" ? null : unit)}`;
}

/** Returns the periods between `firing` and the next transition. The last one ends at `end` if the rule still fires. */
export function firingPeriods(transitions: { at: number; to: string }[], end: number): { start: number; end: number }[] {
  const periods: { start: number; end: number }[] = [];
  let since: number | undefined;
  for (const { at, to } of transitions) {
    if (to === "firing") since ??= at;
    else if (since !== undefined) {
      periods.push({ start: since, end: at });
      since = undefined;
    }
  }
  if (since !== undefined) periods.push({ start: since, end });
  return periods;
}
