/** Queries shared by several pages. `useRefresh` invalidates them by their keys. */

import { keepPreviousData, queryOptions, useQueryClient, type QueryClient } from "@tanstack/react-query";
import { createContext, use, useCallback } from "react";
import { api, unwrap } from "./client.ts";
import { ApiError } from "./error.ts";
import type { Session } from "./types.ts";

const ALL = { params: { query: { limit: 1000 } } };

export const sessionQuery = queryOptions({
  queryKey: ["session"],
  queryFn: async (): Promise<Session | null> => {
    const { data, error, response } = await api.GET("/api/v1/session");
    if (response.status === 401) return null;
    return unwrap(Promise.resolve({ data, error, response }));
  },
  staleTime: 60_000,
});

export const projectQuery = (projectId: string) =>
  queryOptions({
    queryKey: ["project", projectId],
    queryFn: () => unwrap(api.GET("/api/v1/projects/{projectId}", { params: { path: { projectId } } })),
    refetchInterval: 30_000,
  });

export const connectionsQuery = queryOptions({
  queryKey: ["connections"],
  queryFn: () => unwrap(api.GET("/api/v1/connections", ALL)),
  refetchInterval: 30_000,
});

export const connectionQuery = (connectionId: string) =>
  queryOptions({
    queryKey: ["connections", connectionId],
    queryFn: () => unwrap(api.GET("/api/v1/connections/{connectionId}", { params: { path: { connectionId } } })),
    refetchInterval: 30_000,
  });

export const keysQuery = queryOptions({
  queryKey: ["keys"],
  queryFn: () => unwrap(api.GET("/api/v1/keys", ALL)),
});

export const metricsQuery = (search = "") =>
  queryOptions({
    queryKey: ["metrics", { search }],
    queryFn: () => unwrap(api.GET("/api/v1/metrics", { params: { query: { limit: 1000, ...(search ? { search } : {}) } } })),
    placeholderData: keepPreviousData,
  });

export const metricQuery = (metricId: string) =>
  queryOptions({
    queryKey: ["metrics", metricId],
    queryFn: () => unwrap(api.GET("/api/v1/metrics/{metricId}", { params: { path: { metricId } } })),
  });

/** Current session. The shell provides it to all pages. */
export const SessionContext = createContext<Session | undefined>(undefined);

/** Returns the current session. Throws outside the shell, which renders pages only for a signed-in user. */
export function useSession(): Session {
  const session = use(SessionContext);
  if (!session) throw new ApiError(401, "missing_key", "You are signed out. Sign in again.");
  return session;
}

/** Returns true if the key of the session has the scope `manage`. */
export function useCanManage(): boolean {
  return useSession().scopes.includes("manage");
}

/** Ends the session on the client. Cached data is dropped, because the next key may not be allowed to see it. */
export function clearSession(client: QueryClient): void {
  client.setQueryData(sessionQuery.queryKey, null);
  client.removeQueries({ predicate: (query) => query.queryKey[0] !== "session" });
}

/** Returns a function that invalidates the queries under the given keys. */
export function useRefresh(): (...keys: unknown[][]) => Promise<void> {
  const client = useQueryClient();
  return useCallback(
    async (...keys) => {
      await Promise.all(keys.map((queryKey) => client.invalidateQueries({ queryKey })));
    },
    [client],
  );
}
