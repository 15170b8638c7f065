/** What the page reads, each thing under a key by which it is read again once it has changed. */

import { keepPreviousData, queryOptions, useQuery, useQueryClient } from "@tanstack/react-query";
import { useCallback } from "react";
import { api, of } from "./client.ts";
import { ApiError } from "./error.ts";
import type { Session } from "./types.ts";

const ALL = { params: { query: { limit: 1000 } } };

export const sessionQuery = queryOptions({
  queryKey: ["session"],
  queryFn: async (): Promise<Session | null> => {
    const { data, error, response } = await api.GET("/api/v1/session");
    if (response.status === 401) return null;
    return of(Promise.resolve({ data, error, response }));
  },
  staleTime: 60_000,
});

export const projectQuery = (projectId: string) =>
  queryOptions({
    queryKey: ["project", projectId],
    queryFn: () => of(api.GET("/api/v1/projects/{projectId}", { params: { path: { projectId } } })),
    refetchInterval: 30_000,
  });

export const connectionsQuery = queryOptions({
  queryKey: ["connections"],
  queryFn: () => of(api.GET("/api/v1/connections", ALL)),
  refetchInterval: 30_000,
});

export const connectionQuery = (connectionId: string) =>
  queryOptions({
    queryKey: ["connections", connectionId],
    queryFn: () => of(api.GET("/api/v1/connections/{connectionId}", { params: { path: { connectionId } } })),
    refetchInterval: 30_000,
  });

export const keysQuery = queryOptions({
  queryKey: ["keys"],
  queryFn: () => of(api.GET("/api/v1/keys", ALL)),
});

export const metricsQuery = (search = "") =>
  queryOptions({
    queryKey: ["metrics", { search }],
    queryFn: () => of(api.GET("/api/v1/metrics", { params: { query: { limit: 1000, ...(search ? { search } : {}) } } })),
    placeholderData: keepPreviousData,
    staleTime: 5_000,
  });

export const metricQuery = (metricId: string) =>
  queryOptions({
    queryKey: ["metrics", metricId],
    queryFn: () => of(api.GET("/api/v1/metrics/{metricId}", { params: { path: { metricId } } })),
  });

/** Who is signed in. Only for pages within the shell, which is not there for nobody. */
export function useSession(): Session {
  const { data } = useQuery(sessionQuery);
  if (!data) throw new ApiError(401, "missing_key", "You are signed out: sign in again.");
  return data;
}

/** Whether the signed-in key may make changes. */
export function useMayManage(): boolean {
  return useSession().scopes.includes("manage");
}

/** Reads anew what is under these keys. */
export function useRefresh(): (...keys: unknown[][]) => Promise<void> {
  const client = useQueryClient();
  return useCallback(
    async (...keys) => {
      await Promise.all(keys.map((queryKey) => client.invalidateQueries({ queryKey })));
    },
    [client],
  );
}
