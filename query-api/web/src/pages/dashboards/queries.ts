import { queryOptions } from "@tanstack/react-query";
import { api, of } from "../../api/client.ts";
import type { Dashboard, NewDashboard } from "../../api/types.ts";

export const dashboardsQuery = queryOptions({
  queryKey: ["dashboards"],
  queryFn: () => of(api.GET("/api/v1/dashboards", { params: { query: { limit: 1000 } } })),
});

export const dashboardQuery = (dashboardId: string) =>
  queryOptions({
    queryKey: ["dashboards", dashboardId],
    queryFn: () => of(api.GET("/api/v1/dashboards/{dashboardId}", { params: { path: { dashboardId } } })),
  });

export const createDashboard = (body: NewDashboard) => of(api.POST("/api/v1/dashboards", { body }));

/** Replaces the dashboard, if it is still what `from` is. */
export const replaceDashboard = (from: Dashboard, body: NewDashboard) => of(api.PUT("/api/v1/dashboards/{dashboardId}", { params: at(from), body }));

export const removeDashboard = (from: Dashboard) => of(api.DELETE("/api/v1/dashboards/{dashboardId}", { params: at(from) }));

const at = ({ dashboardId, version }: Dashboard) => ({ path: { dashboardId }, header: { "If-Match": `"${version}"` } });
