/** What the API says about one field that is wrong. */
export interface Fault {
  field?: string;
  code: string;
  message: string;
}

/** A call that was refused or did not come through. `status` is 0 where there was no answer at all. */
export class ApiError extends Error {
  readonly status: number;
  readonly code: string;
  readonly details: Fault[];
  readonly requestId: string | null;

  constructor(status: number, code: string, message: string, details: Fault[] = [], requestId: string | null = null) {
    super(message);
    this.status = status;
    this.code = code;
    this.details = details;
    this.requestId = requestId;
  }

  /** Whether the same call may succeed a little later. */
  get passes(): boolean {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }

  /** What is wrong with `field`, if that is what is wrong. */
  fault(field: string): string | undefined {
    const fault = this.details.find((fault) => fault.field === field);
    return fault && sentence(field, fault.message);
  }
}

/** The error of an answer with this body. Proxies between may have answered anything. */
export function errorOf(status: number, body: unknown): ApiError {
  if (typeof body === "object" && body !== null && "error" in body && "message" in body) {
    const { error, message, details, requestId } = body as Record<string, unknown>;
    return new ApiError(
      status,
      String(error),
      String(message),
      Array.isArray(details) ? (details as Fault[]) : [],
      typeof requestId === "string" ? requestId : null,
    );
  }
  return new ApiError(status, "unavailable", `The server answered with status ${status} and nothing else.`);
}

/** What to tell of an error of whatever kind. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : "Something went wrong: reload the page.";
}

function sentence(field: string, message: string): string {
  const text = message.replace(new RegExp(`^\`?${field}\`? `), "");
  return text.charAt(0).toUpperCase() + text.slice(1) + (text.endsWith(".") ? "" : ".");
}
