import { keepPreviousData, useInfiniteQuery } from "@tanstack/react-query";
import { useSearchParams } from "react-router";
import { api, unwrap, type ApiResult } from "../../api/client.ts";
import type { components } from "../../api/schema";
import { formatValue } from "../../format/numbers.ts";
import { rangeBounds, rangeFromParams, type Range } from "../../format/range.ts";
import { formatExact } from "../../format/times.ts";
import { Button } from "../../ui/Button.tsx";
import { DownloadIcon } from "../../ui/icons.tsx";
import { Card } from "../../ui/Page.tsx";
import { EmptyState, ErrorState, Skeleton } from "../../ui/feedback.tsx";
import { downloadCsv } from "./csv.ts";

/** The OpenAPI document lists CSV as well. Without an `Accept` header for CSV, the response is JSON. */
type PointsPage = components["schemas"]["Points"];

/** Table of the points in the range, newest first. */
export function Points({ metricId, unit }: { metricId: string; unit: string | null }) {
  const [params] = useSearchParams();
  const range: Range = rangeFromParams(params) ?? "24h";
  const points = useInfiniteQuery({
    queryKey: ["points", metricId, range],
    queryFn: ({ pageParam }) => {
      const { start, end } = rangeBounds(range, Date.now());
      const query = pageParam ? { cursor: pageParam } : { startDate: String(start), endDate: String(end) };
      return unwrap<PointsPage>(api.GET("/api/v1/metrics/{metricId}/points", { params: { path: { metricId }, query: { limit: 20, ...query } } }) as Promise<ApiResult<PointsPage>>);
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
        <ErrorState error={points.error} onRetry={() => points.refetch()} />
      ) : items.length === 0 ? (
        <EmptyState title="No points in this range" />
      ) : (
        <>
          <div className="table-box">
            <table className="table">
              <thead><tr><th>Time</th><th className="right">Value</th><th className="hide-on-phone">Received</th></tr></thead>
              <tbody>
                {items.map((point, index) => (
                  <tr key={`${point.timestamp} ${point.receivedAt} ${index}`}>
                    <td className="numeric">{formatExact(point.timestamp)}</td>
                    <td className="right">{formatValue(point.value, unit)}</td>
                    <td className="hide-on-phone muted numeric">{formatExact(point.receivedAt)}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
          {points.hasNextPage && <div className="card-more"><Button busy={points.isFetchingNextPage} onClick={() => points.fetchNextPage()}>Load more</Button></div>}
        </>
      )}
    </Card>
  );
}
