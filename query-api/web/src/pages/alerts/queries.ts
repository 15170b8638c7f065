import { keepPreviousData, queryOptions } from "@tanstack/react-query";
import { api, of } from "../../api/client.ts";
import type { Alert, NewAlert } from "../../api/types.ts";

const ALL = { params: { query: { limit: 1000 } } };
const POLL_MS = 5_000;

export const alertsQuery = queryOptions({
  queryKey: ["alerts"],
  queryFn: () => of(api.GET("/api/v1/alerts", ALL)),
  refetchInterval: POLL_MS,
});

export const alertQuery = (alertId: string) =>
  queryOptions({
    queryKey: ["alerts", alertId],
    queryFn: () => of(api.GET("/api/v1/alerts/{alertId}", { params: { path: { alertId } } })),
    refetchInterval: POLL_MS,
  });

export const historyQuery = (alertId: string) =>
  queryOptions({
    queryKey: ["alerts", alertId, "history"],
    queryFn: () => of(api.GET("/api/v1/alerts/{alertId}/history", { params: { path: { alertId }, query: { limit: 100 } } })),
    refetchInterval: POLL_MS,
  });

export const channelsQuery = queryOptions({
  queryKey: ["channels"],
  queryFn: () => of(api.GET("/api/v1/channels", ALL)),
});

/** What a rule would have done; nothing is asked while it is not complete. */
export const previewQuery = (rule: NewAlert | undefined) =>
  queryOptions({
    queryKey: ["preview", rule],
    queryFn: ({ signal }) => of(api.POST("/api/v1/alerts/preview", { body: rule ?? EMPTY, signal })),
    enabled: rule !== undefined,
    placeholderData: keepPreviousData,
    retry: false,
  });

const EMPTY: NewAlert = { name: "", metricId: "", operator: ">", threshold: 0, range: "1h" };

export const inboxQuery = queryOptions({
  queryKey: ["inbox"],
  queryFn: () => of(api.GET("/api/v1/inbox", { params: { query: { limit: 100 } } })),
  refetchInterval: POLL_MS,
});

export const createAlert = (body: NewAlert) => of(api.POST("/api/v1/alerts", { body }));
export const replaceAlert = (from: Alert, body: NewAlert) => of(api.PUT("/api/v1/alerts/{alertId}", { params: at(from), body }));
export const removeAlert = (from: Alert) => of(api.DELETE("/api/v1/alerts/{alertId}", { params: at(from) }));

const at = ({ alertId, version }: Alert) => ({ path: { alertId }, header: { "If-Match": `"${version}"` } });
