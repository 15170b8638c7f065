/** Formats Unix milliseconds in the user's locale and time zone. */

export const timeZone = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

const dateTime = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const exact = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const date = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });
const time = new Intl.DateTimeFormat(undefined, { timeStyle: "short" });
const relative = new Intl.RelativeTimeFormat(undefined, { numeric: "auto" });

export const formatDateTime = (at: number) => dateTime.format(at);
export const formatExact = (at: number) => exact.format(at);
export const formatDate = (at: number) => date.format(at);
export const formatTime = (at: number) => time.format(at);

/** Formats a time relative to `now`: `3 minutes ago`, `in 2 hours`. */
export function formatRelative(at: number, now: number): string {
  const difference = at - now;
  const size = Math.abs(difference);
  if (size < 5 * SECOND) return difference > 0 ? "in a moment" : "just now";
  if (size < MINUTE) return relative.format(Math.round(difference / SECOND), "second");
  if (size < HOUR) return relative.format(Math.round(difference / MINUTE), "minute");
  if (size < DAY) return relative.format(Math.round(difference / HOUR), "hour");
  return relative.format(Math.round(difference / DAY), "day");
}

/** Formats a period. A date that start and end share is shown once. */
export function formatRange(start: number, end: number): string {
  return dateTime.formatRange(start, end);
}

/** Returns the value of `<input type="datetime-local">` for a time. */
export function toLocalInput(at: number): string {
  const local = new Date(at - new Date(at).getTimezoneOffset() * MINUTE);
  return local.toISOString().slice(0, 16);
}

/** Parses the value of `<input type="datetime-local">`; `undefined` if it is empty or invalid. */
export function fromLocalInput(text: string): number | undefined {
  const at = new Date(text).getTime();
  return Number.isNaN(at) ? undefined : at;
}
