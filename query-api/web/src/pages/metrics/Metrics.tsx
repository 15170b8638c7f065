import { useInfiniteQuery, useQueryClient, keepPreviousData } from "@tanstack/react-query";
import { useDeferredValue } from "react";
import { Link, useSearchParams } from "react-router";
import { api, of } from "../../api/client.ts";
import { useMayManage } from "../../api/queries.ts";
import { formatCount, formatValue } from "../../format/numbers.ts";
import { useLiveRefresh } from "../../live/hooks.ts";
import { Button, ButtonLink } from "../../ui/Button.tsx";
import { MetricIcon, SearchIcon } from "../../ui/icons.tsx";
import { Card, Page } from "../../ui/Page.tsx";
import { Empty, Failed, Skeleton } from "../../ui/states.tsx";
import { Ago } from "../../ui/Time.tsx";

/** The catalogue: every metric that was ever sent. */
export function Metrics() {
  const [params, setParams] = useSearchParams();
  const typed = params.get("search") ?? "";
  const search = useDeferredValue(typed.trim());
  const manage = useMayManage();
  const client = useQueryClient();
  const metrics = useInfiniteQuery({
    queryKey: ["catalogue", search],
    queryFn: ({ pageParam }) => of(api.GET("/api/v1/metrics", { params: { query: { limit: 100, ...(search ? { search } : {}), ...(pageParam ? { cursor: pageParam } : {}) } } })),
    initialPageParam: "",
    getNextPageParam: (page) => page.nextCursor,
    placeholderData: keepPreviousData,
  });
  const items = metrics.data?.pages.flatMap((page) => page.items) ?? [];
  useLiveRefresh(undefined, () => void client.invalidateQueries({ queryKey: ["catalogue"] }), 3000);
  const none = items.length === 0 && !metrics.isPending && !metrics.isError;
  return (
    <Page title="Metrics" about="Whatever was sent, from its first point on.">
      {!(none && !typed) && (
        <div className="toolbar">
          <div className="search">
            <SearchIcon />
            <input className="input" type="search" aria-label="Search metrics" placeholder="Search by name or id" value={typed}
              onChange={(event) => setParams(event.target.value ? { search: event.target.value } : {}, { replace: true })} />
          </div>
          {items.length > 0 && <span className="quiet small" role="status">{formatCount(items.length)}{metrics.hasNextPage ? "+" : ""} {items.length === 1 ? "metric" : "metrics"}</span>}
        </div>
      )}
      <Card flush label="Metrics">
        {metrics.isPending ? (
          <div className="card-body"><Skeleton rows={6} /></div>
        ) : metrics.isError ? (
          <Failed error={metrics.error} onRetry={() => metrics.refetch()} />
        ) : none && typed ? (
          <Empty icon={<SearchIcon size={26} />} title={`No metric is like “${typed}”`}><p>The search looks into names and ids.</p></Empty>
        ) : none ? (
          <Empty icon={<MetricIcon size={26} />} title="No metrics yet" action={manage && <ButtonLink to="/integrations/custom-webhooks/connect" look="primary">Connect a webhook</ButtonLink>}>
            <p>A metric appears here with its first point. None has to be declared.</p>
          </Empty>
        ) : (
          <>
            <div className="table-box">
              <table className="table">
                <thead><tr><th>Metric</th><th className="right">Last value</th><th className="right phone-hide">Points</th><th>Last point</th><th className="phone-hide">First point</th></tr></thead>
                <tbody>
                  {items.map((metric) => (
                    <tr key={metric.metricId}>
                      <td><Link to={encodeURIComponent(metric.metricId)} className="table-name">{metric.metricName}</Link><code className="table-sub">{metric.metricId}</code></td>
                      <td className="right">{formatValue(metric.lastValue, metric.unit)}</td>
                      <td className="right phone-hide">{formatCount(metric.points)}</td>
                      <td><Ago at={metric.lastSeenAt} /></td>
                      <td className="phone-hide"><Ago at={metric.firstSeenAt} /></td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </div>
            {metrics.hasNextPage && <div className="card-more"><Button busy={metrics.isFetchingNextPage} onClick={() => metrics.fetchNextPage()}>Show more</Button></div>}
          </>
        )}
      </Card>
    </Page>
  );
}
