/** Moments in the reader's locale and zone. */

export const zone = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";

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

/** How long ago, or how soon: `3 minutes ago`. */
export function formatAgo(at: number, now: number): string {
  const by = at - now;
  const size = Math.abs(by);
  if (size < 5 * SECOND) return by > 0 ? "in a moment" : "just now";
  if (size < MINUTE) return relative.format(Math.round(by / SECOND), "second");
  if (size < HOUR) return relative.format(Math.round(by / MINUTE), "minute");
  if (size < DAY) return relative.format(Math.round(by / HOUR), "hour");
  return relative.format(Math.round(by / DAY), "day");
}

/** From when to when. The date is told once where it is the same. */
export function formatRange(start: number, end: number): string {
  return dateTime.formatRange(start, end);
}

/** What `<input type="datetime-local">` holds. */
export function toLocalInput(at: number): string {
  const local = new Date(at - new Date(at).getTimezoneOffset() * MINUTE);
  return local.toISOString().slice(0, 16);
}

/** The moment in such a field, if there is one. */
export function fromLocalInput(text: string): number | undefined {
  const at = new Date(text).getTime();
  return Number.isNaN(at) ? undefined : at;
}
