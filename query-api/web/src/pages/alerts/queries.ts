import { keepPreviousData, queryOptions } from "@tanstack/react-query";
import { api, unwrap } from "../../api/client.ts";
import type { Alert, NewAlert } from "../../api/types.ts";

const ALL = { params: { query: { limit: 1000 } } };
const POLL_MS = 5_000;

export const alertsQuery = queryOptions({
  queryKey: ["alerts"],
  queryFn: () => unwrap(api.GET("/api/v1/alerts", ALL)),
  refetchInterval: POLL_MS,
});

export const alertQuery = (alertId: string) =>
  queryOptions({
    queryKey: ["alerts", alertId],
    queryFn: () => unwrap(api.GET("/api/v1/alerts/{alertId}", { params: { path: { alertId } } })),
    refetchInterval: POLL_MS,
  });

export const historyQuery = (alertId: string) =>
  queryOptions({
    queryKey: ["alerts", alertId, "history"],
    queryFn: () => unwrap(api.GET("/api/v1/alerts/{alertId}/history", { params: { path: { alertId }, query: { limit: 100 } } })),
    refetchInterval: POLL_MS,
  });

export const channelsQuery = queryOptions({
  queryKey: ["channels"],
  queryFn: () => unwrap(api.GET("/api/v1/channels", ALL)),
});

/** Transitions that a rule would have had. Sends no query while the rule is incomplete. */
export const previewQuery = (rule: NewAlert | undefined) =>
  queryOptions({
    queryKey: ["preview", rule],
    queryFn: ({ signal }) => unwrap(api.POST("/api/v1/alerts/preview", { body: rule ?? EMPTY, signal })),
    enabled: rule !== undefined,
    placeholderData: keepPreviousData,
    retry: false,
  });

const EMPTY: NewAlert = { name: "", metricId: "", operator: ">", threshold: 0, range: "1h" };

export const inboxQuery = queryOptions({
  queryKey: ["inbox"],
  queryFn: () => unwrap(api.GET("/api/v1/inbox", { params: { query: { limit: 100 } } })),
  refetchInterval: POLL_MS,
});

export const createAlert = (body: NewAlert) => unwrap(api.POST("/api/v1/alerts", { body }));
export const replaceAlert = (from: Alert, body: NewAlert) => unwrap(api.PUT("/api/v1/alerts/{alertId}", { params: versionedParams(from), body }));
export const removeAlert = (from: Alert) => unwrap(api.DELETE("/api/v1/alerts/{alertId}", { params: versionedParams(from) }));

const versionedParams = ({ alertId, version }: Alert) => ({ path: { alertId }, header: { "If-Match": `"${version}"` } });
