/** Validation error of one field, as listed in `details` of an error response. */
export interface FieldError {
  field?: string;
  code: string;
  message: string;
}

/** Failed API call. `status` is 0 if no response was received. */
export class ApiError extends Error {
  readonly status: number;
  readonly code: string;
  readonly details: FieldError[];
  readonly requestId: string | null;

  constructor(status: number, code: string, message: string, details: FieldError[] = [], requestId: string | null = null) {
    super(message);
    this.status = status;
    this.code = code;
    this.details = details;
    this.requestId = requestId;
  }

  /** True if a retry of the same call may succeed. */
  get isTransient(): boolean {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }

  /** Returns the message about `field` as a sentence, or `undefined` if that field is valid. */
  fieldError(field: string): string | undefined {
    const detail = this.details.find((candidate) => candidate.field === field);
    return detail && toSentence(field, detail.message);
  }
}

/** Builds the error from a response. The body may not be ours, because a proxy may have answered. */
export function toApiError(status: number, body: unknown): ApiError {
  if (typeof body === "object" && body !== null && "error" in body && "message" in body) {
    const { error, message, details, requestId } = body as Record<string, unknown>;
    return new ApiError(
      status,
      String(error),
      String(message),
      Array.isArray(details) ? (details as FieldError[]) : [],
      typeof requestId === "string" ? requestId : null,
    );
  }
  return new ApiError(status, "unavailable", `The server returned an unexpected response (status ${status}). Try again later.`);
}

/** Returns the text to show to the user for any thrown value. */
export function errorMessage(error: unknown): string {
  return error instanceof Error ? error.message : "Something went wrong. Reload the page.";
}

/** Removes the leading field name, because the message is shown next to the field. */
function toSentence(field: string, message: string): string {
  const text = message.replace(new RegExp(`^\`?${field}\`? `), "");
  return text.charAt(0).toUpperCase() + text.slice(1) + (text.endsWith(".") ? "" : ".");
}
