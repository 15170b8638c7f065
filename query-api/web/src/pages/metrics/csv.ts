import { errorMessage, toApiError } from "../../api/error.ts";
import { rangeBounds, type Range } from "../../format/range.ts";
import { timeZone } from "../../format/times.ts";
import { showToast } from "../../ui/toast.ts";

/** Downloads points or a time series as a CSV file. */
export async function downloadCsv(metricId: string, resource: "points" | "timeseries", options: { range: Range; aggregation?: string; interval?: string }): Promise<void> {
  try {
    const { start, end } = rangeBounds(options.range, Date.now());
    const params = new URLSearchParams({ startDate: String(start), endDate: String(end), timezone: timeZone });
    if (resource === "points") params.set("limit", "1000");
    if (options.aggregation) params.set("aggregation", options.aggregation);
    if (options.interval) params.set("interval", options.interval);
    const pages: string[] = [];
    for (let cursor: string | null = ""; cursor !== null; ) {
      if (cursor) params.set("cursor", cursor);
      const response: Response = await fetch(`/api/v1/metrics/${encodeURIComponent(metricId)}/${resource}?${params}`, { headers: { Accept: "text/csv" } });
      if (!response.ok) throw toApiError(response.status, await response.json().catch(() => null));
      const text = await response.text();
      // Each page has a header line; only the first one is kept.
      pages.push(pages.length ? text.slice(text.indexOf("\n") + 1) : text);
      cursor = response.headers.get("X-Next-Cursor");
    }
    saveFile(`${metricId}-${resource}.csv`, new Blob(pages, { type: "text/csv" }));
  } catch (error) {
    showToast(errorMessage(error), "error");
  }
}

function saveFile(name: string, blob: Blob): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
