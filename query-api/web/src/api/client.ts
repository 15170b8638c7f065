import createClient from "openapi-fetch";
import { ApiError, toApiError } from "./error.ts";
import type { paths } from "./schema";

type Listener = () => void;
const sessionEndListeners = new Set<Listener>();

/** Calls `listener` whenever the API answers 401. Returns a function that removes the listener. */
export function onSessionEnd(listener: Listener): () => void {
  sessionEndListeners.add(listener);
  return () => sessionEndListeners.delete(listener);
}

/** API client, typed from the OpenAPI document. */
export const api = createClient<paths>({
  baseUrl: "/",
  fetch: async (request) => {
    try {
      return await fetch(request);
    } catch (cause) {
      if (request.signal.aborted) throw cause;
      throw new ApiError(0, "offline", "Could not reach the server. Check your connection and try again.");
    }
  },
});

export interface ApiResult<T> {
  data?: T;
  error?: unknown;
  response: Response;
}

/** Returns the response body, or throws an `ApiError`. Notifies the session listeners of a 401. */
export async function unwrap<T>(call: Promise<ApiResult<T>>): Promise<T> {
  const { data, error, response } = await call;
  if (!response.ok) {
    if (response.status === 401) sessionEndListeners.forEach((listener) => listener());
    throw toApiError(response.status, error);
  }
  return data as T;
}
