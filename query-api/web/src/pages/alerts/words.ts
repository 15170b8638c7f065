/** Rules in words. */

import type { Alert } from "../../api/types.ts";
import { aggregationName } from "../../format/choices.ts";
import { formatValue } from "../../format/numbers.ts";

type Operator = Alert["operator"];
type Window = Alert["range"];

export const OPERATORS: readonly (readonly [Operator, string])[] = [
  [">", "is above"],
  [">=", "is at least"],
  ["<", "is below"],
  ["<=", "is at most"],
  ["==", "is exactly"],
  ["!=", "is anything but"],
];

export const WINDOWS: readonly (readonly [Window, string])[] = [
  ["5m", "5 minutes"],
  ["15m", "15 minutes"],
  ["1h", "hour"],
  ["24h", "24 hours"],
  ["7d", "7 days"],
  ["30d", "30 days"],
];

export const KINDS: readonly (readonly [string, string])[] = [
  ["in_app", "Inbox"],
  ["slack", "Slack"],
  ["discord", "Discord"],
  ["teams", "Microsoft Teams"],
  ["webhook", "Webhook"],
];

export const windowName = (window: string): string => WINDOWS.find(([name]) => name === window)?.[1] ?? window;
export const kindName = (kind: string): string => KINDS.find(([name]) => name === kind)?.[1] ?? kind;

interface Condition {
  aggregation: string;
  operator: string;
  threshold: number;
  range: string;
}

/** When a rule fires: "Average of the last hour is above 200 ms". */
export function conditionText({ aggregation, operator, threshold, range }: Condition, unit: string | null): string {
  const verb = OPERATORS.find(([name]) => name === operator)?.[1] ?? operator;
  return `${aggregationName(aggregation)} of the last ${windowName(range)} ${verb} ${formatValue(threshold, aggregation === "count" ? null : unit)}`;
}

/** The times in which the rule would have fired. */
export function firingTimes(transitions: { at: number; to: string }[], end: number): { start: number; end: number }[] {
  const times: { start: number; end: number }[] = [];
  let since: number | undefined;
  for (const { at, to } of transitions) {
    if (to === "firing") since ??= at;
    else if (since !== undefined) {
      times.push({ start: since, end: at });
      since = undefined;
    }
  }
  if (since !== undefined) times.push({ start: since, end });
  return times;
}
