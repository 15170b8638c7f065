import { keepPreviousData, useInfiniteQuery } from "@tanstack/react-query";
import { useSearchParams } from "react-router";
import { api, of, type Answer } from "../../api/client.ts";
import type { components } from "../../api/schema";
import { formatValue } from "../../format/numbers.ts";
import { bounds, readRange, type Range } from "../../format/range.ts";
import { formatExact } from "../../format/times.ts";
import { Button } from "../../ui/Button.tsx";
import { DownloadIcon } from "../../ui/icons.tsx";
import { Card } from "../../ui/Page.tsx";
import { Empty, Failed, Skeleton } from "../../ui/states.tsx";
import { downloadCsv } from "./csv.ts";

/** The description knows the call's CSV as well; without asking for it, it is JSON. */
type Page = components["schemas"]["Points"];

/** The points of the range, one by one, newest first. */
export function Points({ metricId, unit }: { metricId: string; unit: string | null }) {
  const [params] = useSearchParams();
  const range: Range = readRange(params) ?? "24h";
  const points = useInfiniteQuery({
    queryKey: ["points", metricId, range],
    queryFn: ({ pageParam }) => {
      const { start, end } = bounds(range, Date.now());
      const query = pageParam ? { cursor: pageParam } : { startDate: String(start), endDate: String(end) };
      return of<Page>(api.GET("/api/v1/metrics/{metricId}/points", { params: { path: { metricId }, query: { limit: 20, ...query } } }) as Promise<Answer<Page>>);
    },
    initialPageParam: "",
    getNextPageParam: (page) => page.nextCursor,
    placeholderData: keepPreviousData,
  });
  const items = points.data?.pages.flatMap((page) => page.items) ?? [];
  return (
    <Card title="Points" flush actions={items.length > 0 && <Button small icon={<DownloadIcon size={16} />} onClick={() => downloadCsv(metricId, "points", { range })}>CSV</Button>}>
      {points.isPending ? (
        <div className="card-body"><Skeleton /></div>
      ) : points.isError ? (
        <Failed error={points.error} onRetry={() => points.refetch()} />
      ) : items.length === 0 ? (
        <Empty title="No points in this range" />
      ) : (
        <>
          <div className="table-box">
            <table className="table">
              <thead><tr><th>Time</th><th className="right">Value</th><th className="phone-hide">Received</th></tr></thead>
              <tbody>
                {items.map((point, index) => (
                  <tr key={`${point.timestamp} ${point.receivedAt} ${index}`}>
                    <td className="numeric">{formatExact(point.timestamp)}</td>
                    <td className="right">{formatValue(point.value, unit)}</td>
                    <td className="phone-hide quiet numeric">{formatExact(point.receivedAt)}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
          {points.hasNextPage && <div className="card-more"><Button busy={points.isFetchingNextPage} onClick={() => points.fetchNextPage()}>Show more</Button></div>}
        </>
      )}
    </Card>
  );
}
