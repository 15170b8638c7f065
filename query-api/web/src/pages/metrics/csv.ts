import { messageOf, errorOf } from "../../api/error.ts";
import { bounds, type Range } from "../../format/range.ts";
import { zone } from "../../format/times.ts";
import { tell } from "../../ui/toast.ts";

/** Downloads points or a time series as a file that spreadsheets read. */
export async function downloadCsv(metricId: string, what: "points" | "timeseries", asked: { range: Range; aggregation?: string; interval?: string }): Promise<void> {
  try {
    const { start, end } = bounds(asked.range, Date.now());
    const params = new URLSearchParams({ startDate: String(start), endDate: String(end), timezone: zone });
    if (what === "points") params.set("limit", "1000");
    if (asked.aggregation) params.set("aggregation", asked.aggregation);
    if (asked.interval) params.set("interval", asked.interval);
    const pages: string[] = [];
    for (let cursor: string | null = ""; cursor !== null; ) {
      if (cursor) params.set("cursor", cursor);
      const response: Response = await fetch(`/api/v1/metrics/${encodeURIComponent(metricId)}/${what}?${params}`, { headers: { Accept: "text/csv" } });
      if (!response.ok) throw errorOf(response.status, await response.json().catch(() => null));
      const text = await response.text();
      // Each page has the line of names; one is enough.
      pages.push(pages.length ? text.slice(text.indexOf("\n") + 1) : text);
      cursor = response.headers.get("X-Next-Cursor");
    }
    save(`${metricId}-${what}.csv`, new Blob(pages, { type: "text/csv" }));
  } catch (error) {
    tell(messageOf(error), "error");
  }
}

function save(name: string, blob: Blob): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
