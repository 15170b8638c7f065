import { useInfiniteQuery, useQueryClient, keepPreviousData } from "@tanstack/react-query";
import { useDeferredValue } from "react";
import { Link, useSearchParams } from "react-router";
import { api, unwrap } from "../../api/client.ts";
import { useCanManage } from "../../api/queries.ts";
import { formatCount, formatValue } from "../../format/numbers.ts";
import { useLiveRefresh } from "../../live/hooks.ts";
import { Button, ButtonLink } from "../../ui/Button.tsx";
import { MetricIcon, SearchIcon } from "../../ui/icons.tsx";
import { Card, Page } from "../../ui/Page.tsx";
import { EmptyState, ErrorState, Skeleton } from "../../ui/feedback.tsx";
import { RelativeTime } from "../../ui/RelativeTime.tsx";

/** Catalogue of all metrics of the project. */
export function Metrics() {
  const [params, setParams] = useSearchParams();
  const searchText = params.get("search") ?? "";
  const search = useDeferredValue(searchText.trim());
  const manage = useCanManage();
  const client = useQueryClient();
  const metrics = useInfiniteQuery({
    queryKey: ["catalogue", search],
    queryFn: ({ pageParam }) => unwrap(api.GET("/api/v1/metrics", { params: { query: { limit: 100, ...(search ? { search } : {}), ...(pageParam ? { cursor: pageParam } : {}) } } })),
    initialPageParam: "",
    getNextPageParam: (page) => page.nextCursor,
    placeholderData: keepPreviousData,
  });
  const items = metrics.data?.pages.flatMap((page) => page.items) ?? [];
  useLiveRefresh(undefined, () => void client.invalidateQueries({ queryKey: ["catalogue"] }), 3000);
  const isEmpty = items.length === 0 && !metrics.isPending && !metrics.isError;
  return (
    <Page title="Metrics" description="All metrics that this project has received.">
      {!(isEmpty && !searchText) && (
        <div className="toolbar">
          <div className="search">
            <SearchIcon />
            <input className="input" type="search" aria-label="Search metrics" placeholder="Search by name or ID" value={searchText}
              onChange={(event) => setParams(event.target.value ? { search: event.target.value } : {}, { replace: true })} />
          </div>
          {items.length > 0 && <span className="muted small" role="status">{formatCount(items.length)}{metrics.hasNextPage ? "+" : ""} {items.length === 1 ? "metric" : "metrics"}</span>}
        </div>
      )}
      <Card flush label="Metrics">
        {metrics.isPending ? (
          <div className="card-body"><Skeleton rows={6} /></div>
        ) : metrics.isError ? (
          <ErrorState error={metrics.error} onRetry={() => metrics.refetch()} />
        ) : isEmpty && searchText ? (
          <EmptyState icon={<SearchIcon size={26} />} title={`No metrics match “${searchText}”`}><p>The search covers names and IDs.</p></EmptyState>
        ) : isEmpty ? (
          <EmptyState icon={<MetricIcon size={26} />} title="No metrics yet" action={manage && <ButtonLink to="/integrations/custom-webhooks/connect" variant="primary">Connect a webhook</ButtonLink>}>
            <p>A metric appears here with its first point. You do not have to declare it.</p>
          </EmptyState>
        ) : (
          <>
            <div className="table-box">
              <table className="table">
                <thead><tr><th>Metric</th><th className="right">Last value</th><th className="right hide-on-phone">Points</th><th>Last received</th><th className="hide-on-phone">First received</th></tr></thead>
                <tbody>
                  {items.map((metric) => (
                    <tr key={metric.metricId}>
                      <td><Link to={encodeURIComponent(metric.metricId)} className="table-name">{metric.metricName}</Link><code className="table-sub">{metric.metricId}</code></td>
                      <td className="right">{formatValue(metric.lastValue, metric.unit)}</td>
                      <td className="right hide-on-phone">{formatCount(metric.points)}</td>
                      <td><RelativeTime at={metric.lastSeenAt} /></td>
                      <td className="hide-on-phone"><RelativeTime at={metric.firstSeenAt} /></td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </div>
            {metrics.hasNextPage && <div className="card-more"><Button busy={metrics.isFetchingNextPage} onClick={() => metrics.fetchNextPage()}>Load more</Button></div>}
          </>
        )}
      </Card>
    </Page>
  );
}
