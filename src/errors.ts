/** How one kind of failure looks from outside. */
interface ProblemKind {
  /** HTTP status of the answer. */
  readonly status: number;
  /** RFC 9457 `title`: the same for every occurrence. */
  readonly title: string;
  /** What the page under `/problems/<code>` says about the cause and the mend. */
  readonly explanation: string;
}

/**
 * Every failure that a caller can see. The `/problems` pages, the OpenAPI document, docs/errors.md's
 * table and the tests all read this one.
 */
export const problems = {
  "malformed-body": {
    status: 400,
    title: "The request body does not parse",
    explanation: "The body is empty, cut short, or not what its Content-Type says. Send it whole.",
  },
  "invalid-base64": {
    status: 400,
    title: "The image is not base64",
    explanation:
      "Send bare base64, base64url or a data: URI. Line breaks are fine; other characters are not.",
  },
  "invalid-image-url": {
    status: 400,
    title: "The image URL cannot be used",
    explanation: "Give an absolute http:// or https:// URL without user name and password.",
  },
  unauthorized: {
    status: 401,
    title: "The request needs an API key",
    explanation:
      "The operator gives keys out, made with imagesvc keys add. Send yours in the header Authorization: Bearer KEY; a key in the URL is not taken.",
  },
  "forbidden-address": {
    status: 403,
    title: "The address is not public",
    explanation:
      "The URL, or a redirect of it, leads to a private, reserved or local address, or to a port other than 80 and 443. The operator can open named hosts with FETCH_ALLOW; or upload the bytes instead.",
  },
  "forbidden-origin": {
    status: 403,
    title: "This web page may not call the service",
    explanation:
      "A browser sent the request from an origin that is not listed: the operator lists front ends in CORS_ORIGINS. Or a service that listens on loopback was called by another name than localhost, as a rebound web page does: the operator names proxies in TRUSTED_PROXIES.",
  },
  "not-found": {
    status: 404,
    title: "There is nothing under this path",
    explanation: "See /docs for the requests that exist.",
  },
  "method-not-allowed": {
    status: 405,
    title: "The path does not take this method",
    explanation: "The Allow header of the answer names the methods that it takes.",
  },
  "body-too-large": {
    status: 413,
    title: "The body or the image has too many bytes",
    explanation:
      "Requests are limited by MAX_BODY_BYTES, each image by MAX_IMAGE_BYTES. Send a smaller or more compressed picture.",
  },
  "too-many-pixels": {
    status: 413,
    title: "The image has too many pixels",
    explanation:
      "Images are limited by MAX_PIXELS, before they are decoded; no side may be longer than 65535, and AVIF, WebP, TIFF and progressive JPEG have lower limits. Send a smaller picture.",
  },
  "unsupported-media-type": {
    status: 415,
    title: "The request's Content-Type is not taken here",
    explanation: "The answer's detail names the content types that this path takes.",
  },
  "unsupported-image": {
    status: 415,
    title: "The bytes are not an image format that is decoded here",
    explanation:
      "JPEG, PNG, WebP, GIF, AVIF and TIFF are decoded; the bytes themselves decide, not the name. Convert anything else first.",
  },
  "validation-failed": {
    status: 422,
    title: "The request does not have the documented shape",
    explanation: "Each entry of errors names a field and what is wrong with it.",
  },
  "unknown-model": {
    status: 422,
    title: "The model is not served here",
    explanation: "The answer's detail names the models that are served.",
  },
  "undecodable-image": {
    status: 422,
    title: "The image is truncated or corrupt",
    explanation:
      "The file starts like an image but cannot be decoded whole. Send it again, complete.",
  },
  "rate-limited": {
    status: 429,
    title: "The client has reached its limit of requests",
    explanation:
      "Come back after the seconds in Retry-After; the headers RateLimit-Policy and RateLimit tell the limit and what is left of it. The operator sets it with RATE_LIMIT.",
  },
  "internal-error": {
    status: 500,
    title: "The service made a mistake",
    explanation: "This is a bug. The operator finds the log line under the request id.",
  },
  "origin-error": {
    status: 502,
    title: "The image's host did not deliver it",
    explanation:
      "The host answered with an error (origin_status says which), could not be reached, or redirected too often. Check the URL in a browser.",
  },
  "upstream-error": {
    status: 502,
    title: "NVIDIA's service failed",
    explanation:
      "The hosted model answered with something unusable, or is out of order. Try again later.",
  },
  "upstream-unauthorized": {
    status: 502,
    title: "NVIDIA refused the service's key",
    explanation: "The operator must renew NVIDIA_API_KEY, its entitlement or its credits.",
  },
  overloaded: {
    status: 503,
    title: "The service is at capacity",
    explanation: "Too many requests wait already. Come back after the seconds in Retry-After.",
  },
  "model-unavailable": {
    status: 503,
    title: "The model is not ready",
    explanation:
      "Its weights or its key are missing or still loading; the answer's detail says which, and the mend.",
  },
  "upstream-rate-limited": {
    status: 503,
    title: "NVIDIA's quota is used up for now",
    explanation: "Come back after the seconds in Retry-After.",
  },
  "shutting-down": {
    status: 503,
    title: "The service is stopping",
    explanation: "Send the request again; another instance, or this one restarted, will take it.",
  },
  "origin-timeout": {
    status: 504,
    title: "The image's host was too slow",
    explanation:
      "The image did not arrive within FETCH_TIMEOUT_MS. Try again, or upload the bytes.",
  },
  "upstream-timeout": {
    status: 504,
    title: "NVIDIA's service was too slow",
    explanation: "The hosted model did not answer within the request's deadline. Try again.",
  },
  "inference-timeout": {
    status: 504,
    title: "The model was too slow",
    explanation:
      "The vector was not there within REQUEST_TIMEOUT_MS. Try again when the service is less busy.",
  },
  "storage-full": {
    status: 507,
    title: "The downloads folder cannot take the file",
    explanation:
      "The operator must free space, or allow writing, where DOWNLOADS_DIR points. Nothing half-written stays.",
  },
} as const satisfies Record<string, ProblemKind>;

/** The machine-readable name of a failure; the `code` of every error answer. */
export type ProblemCode = keyof typeof problems;

/** Whether a text, such as another instance's answer has, is a code of the table. */
export function isProblemCode(text: string): text is ProblemCode {
  return Object.hasOwn(problems, text);
}

/** One fault of a request's shape. */
export interface FieldFault {
  /** RFC 6901 pointer into the body, such as `/image_url`; empty for the body itself. */
  readonly pointer: string;
  readonly message: string;
}

interface ProblemOptions {
  /** What really happened; only logged. */
  readonly cause?: unknown;
  /** Seconds until a retry makes sense; becomes `Retry-After`, rounded up. */
  readonly retryAfterS?: number;
  /** HTTP status that the image's origin answered; becomes `origin_status`. */
  readonly originStatus?: number;
  /** Becomes `errors` of a `validation-failed`. */
  readonly faults?: readonly FieldFault[];
  /** Whether the same request would meet the same again, where the code alone does not tell. */
  readonly isPermanent?: boolean;
}

/**
 * An expected failure. `message` is the `detail` shown to the caller: one sentence that says what to
 * change, without host paths, resolved addresses or secrets. `cause` is only logged.
 */
export class Problem extends Error {
  override readonly name = "Problem";
  readonly code: ProblemCode;
  readonly retryAfterS: number | undefined;
  readonly originStatus: number | undefined;
  readonly faults: readonly FieldFault[];
  readonly isPermanent: boolean;

  constructor(code: ProblemCode, detail: string, options: ProblemOptions = {}) {
    super(detail, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.retryAfterS = options.retryAfterS;
    this.originStatus = options.originStatus;
    this.faults = options.faults ?? [];
    this.isPermanent = options.isPermanent ?? false;
  }
}

/** What to say of anything that was thrown, in one line. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** What to log of anything that was thrown and should not have been. */
export function stackOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

/** The code of a system's error, such as `ENOENT`; empty where there is none. */
export function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "";
}
