import createClient from "openapi-fetch";
import { ApiError, errorOf } from "./error.ts";
import type { paths } from "./schema";

type Listener = () => void;
const ended = new Set<Listener>();

/** Calls `listener` whenever an answer says that nobody is signed in any more. */
export function onSessionEnd(listener: Listener): () => void {
  ended.add(listener);
  return () => ended.delete(listener);
}

/** The API as its own description has it. */
export const api = createClient<paths>({
  baseUrl: "/",
  fetch: async (request) => {
    try {
      return await fetch(request);
    } catch (cause) {
      if (request.signal.aborted) throw cause;
      throw new ApiError(0, "offline", "The server cannot be reached: check the connection.");
    }
  },
});

export interface Answer<T> {
  data?: T;
  error?: unknown;
  response: Response;
}

/** What a call answered, or its error thrown. */
export async function of<T>(call: Promise<Answer<T>>): Promise<T> {
  const { data, error, response } = await call;
  if (!response.ok) {
    if (response.status === 401) ended.forEach((listener) => listener());
    throw errorOf(response.status, error);
  }
  return data as T;
}
