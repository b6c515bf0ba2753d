/** Problems in the shape of OpenAI's errors: what every failure under `/v1` looks like. */
import { type Problem, type ProblemCode, problems } from "../errors.ts";
import { fieldName } from "../text/embedding-inputs.ts";
import { problemResponse } from "./problem.ts";

/** The body of an error answer under `/v1`. */
interface OpenAiErrorBody {
  readonly error: {
    readonly message: string;
    readonly type: string;
    /** The field that it is about, such as `input[3].image`. */
    readonly param: string | null;
    readonly code: string;
  };
}

/** Codes for which OpenAI has names of its own, by which clients know them. */
const openAiCodes: Partial<Record<ProblemCode, string>> = {
  "unknown-model": "model_not_found",
  unauthorized: "invalid_api_key",
  "rate-limited": "rate_limit_exceeded",
};

/** Statuses that OpenAI does not use: its clients know 400 for whatever is wrong with a request. */
const badRequests: readonly number[] = [413, 415, 422];

/** Longest wait, in seconds, that a client is told of: the SDK sleeps for all of it, however long. */
const maxRetryAfterS = 30;

/** Whether a request is one of those that OpenAI's clients send. */
export function isOpenAiPath({ url }: Request): boolean {
  return /^\/v1(?:\/|$)/.test(URL.parse(url)?.pathname ?? "");
}

/** Renders a problem in the shape that its path speaks; `headers` come on top of its own. */
export function failureResponse(
  request: Request,
  problem: Problem,
  requestId: string,
  headers: Readonly<Record<string, string>> = {},
): Response {
  return isOpenAiPath(request)
    ? openAiErrorResponse(problem, headers)
    : problemResponse(problem, requestId, headers);
}

function openAiErrorResponse(
  problem: Problem,
  headers: Readonly<Record<string, string>>,
): Response {
  const status = openAiStatus(problem.code);
  const pointer = problem.faults[0]?.pointer ?? "";
  const body: OpenAiErrorBody = {
    error: {
      message: problem.message,
      type: typeOf(status),
      param: pointer === "" ? null : fieldName(pointer),
      code: openAiCode(problem.code),
    },
  };
  return Response.json(body, { status, headers: { ...retryHeaders(problem), ...headers } });
}

/** The status that a problem has under `/v1`. */
export function openAiStatus(code: ProblemCode): number {
  if (code === "unknown-model") return 404;
  const { status } = problems[code];
  return badRequests.includes(status) ? 400 : status;
}

/** The `code` that a problem has under `/v1`. */
export function openAiCode(code: ProblemCode): string {
  return openAiCodes[code] ?? code;
}

function typeOf(status: number): string {
  if (status === 401) return "authentication_error";
  if (status === 403) return "permission_error";
  if (status === 429) return "rate_limit_error";
  return status >= 500 ? "server_error" : "invalid_request_error";
}

/**
 * When the SDK is to try again. Left alone it tries 408, 409, 429 and everything from 500 up, after half a second
 * or so.
 */
function retryHeaders(problem: Problem): Readonly<Record<string, string>> {
  const { retryAfterS } = problem;
  if (problem.isPermanent || isPermanent(problem) || (retryAfterS ?? 0) > maxRetryAfterS) {
    return { "x-should-retry": "false" };
  }
  if (retryAfterS === undefined) return {};
  return { "retry-after": String(Math.max(1, Math.ceil(retryAfterS))) };
}

/** Whether the same request would meet the same, until its sender or the operator changes something. */
function isPermanent({ code, retryAfterS, originStatus = 0 }: Problem): boolean {
  switch (code) {
    case "upstream-unauthorized":
    case "storage-full":
      return true;
    case "model-unavailable":
      return retryAfterS === undefined;
    case "origin-error":
      return originStatus >= 400 && originStatus < 500;
    default: {
      const { status } = problems[code];
      return status < 500 && status !== 429;
    }
  }
}
