import { queryOptions } from "@tanstack/react-query";
import { api, unwrap } from "../../api/client.ts";
import type { Dashboard, NewDashboard } from "../../api/types.ts";

export const dashboardsQuery = queryOptions({
  queryKey: ["dashboards"],
  queryFn: () => unwrap(api.GET("/api/v1/dashboards", { params: { query: { limit: 1000 } } })),
});

export const dashboardQuery = (dashboardId: string) =>
  queryOptions({
    queryKey: ["dashboards", dashboardId],
    queryFn: () => unwrap(api.GET("/api/v1/dashboards/{dashboardId}", { params: { path: { dashboardId } } })),
  });

export const createDashboard = (body: NewDashboard) => unwrap(api.POST("/api/v1/dashboards", { body }));

/** Replaces the dashboard. Fails with `version_mismatch` if it was changed after `from` was read. */
export const replaceDashboard = (from: Dashboard, body: NewDashboard) => unwrap(api.PUT("/api/v1/dashboards/{dashboardId}", { params: versionedParams(from), body }));

export const removeDashboard = (from: Dashboard) => unwrap(api.DELETE("/api/v1/dashboards/{dashboardId}", { params: versionedParams(from) }));

const versionedParams = ({ dashboardId, version }: Dashboard) => ({ path: { dashboardId }, header: { "If-Match": `"${version}"` } });
