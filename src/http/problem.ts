/** Problems as `application/problem+json` (RFC 9457), and every error on its way to becoming one. */
import { ParseError, type TSchema, ValidationError } from "elysia";
import { type FieldFault, Problem, problems } from "../errors.ts";

/** The body of an error answer. */
export interface ProblemBody {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly code: string;
  readonly request_id: string;
  readonly origin_status?: number;
  readonly errors?: readonly FieldFault[];
}

/** Renders a problem; `headers` come on top of its own. */
export function problemResponse(
  problem: Problem,
  requestId: string,
  headers: Readonly<Record<string, string>> = {},
): Response {
  const body: ProblemBody = problemBody(problem, requestId);
  const { status } = body;
  const own: Record<string, string> = { "content-type": "application/problem+json" };
  if (problem.retryAfterS !== undefined) {
    own["retry-after"] = String(Math.max(1, Math.ceil(problem.retryAfterS)));
  }
  return new Response(JSON.stringify(body), { status, headers: { ...own, ...headers } });
}

/** A problem as an answer shows it. */
export function problemBody(problem: Problem, requestId: string) {
  const { status, title } = problems[problem.code];
  return {
    type: `/problems/${problem.code}`,
    title,
    status,
    detail: problem.message,
    code: problem.code,
    request_id: requestId,
    ...(problem.originStatus === undefined ? {} : { origin_status: problem.originStatus }),
    ...(problem.faults.length === 0
      ? {}
      : { errors: problem.faults.map((fault) => ({ ...fault })) }),
  };
}

/** The problem of a path that does not exist, or of one that is to look so. */
export function nothingHere(): Problem {
  return new Problem("not-found", "There is nothing under this path: /docs shows every request.");
}

/**
 * The Problem that a caller sees for anything thrown on the way. What nobody expected is an
 * `internal-error` with the original as its cause, for the log.
 */
export function toProblem(error: unknown): Problem {
  const thrown = error instanceof ParseError ? error.cause : error;
  if (thrown instanceof Problem) return thrown;
  if (thrown instanceof ValidationError && thrown.type !== "response") {
    return validationFailed(thrown);
  }
  return new Problem(
    "internal-error",
    "The service made a mistake: report the request id to the operator.",
    { cause: thrown },
  );
}

function validationFailed(error: ValidationError): Problem {
  const faults = faultsOf(error);
  const [first] = faults;
  const where = error.type === "query" ? "query parameter" : "field";
  const name = first?.pointer.slice(1) ?? "";
  const detail =
    first === undefined || name === ""
      ? `The ${error.type} does not have the documented shape: see /docs.`
      : `The ${where} ${name} is wrong: ${first.message}.`;
  return new Problem("validation-failed", detail, { faults });
}

/** One fault a field, in words that do not echo the value. */
function faultsOf(error: ValidationError): readonly FieldFault[] {
  const faults = new Map<string, FieldFault>();
  for (const one of error.all.flatMap(itemsOf)) {
    if (faults.has(one.path)) continue;
    const message = one.value === undefined ? "it is missing" : expectationOf(one);
    faults.set(one.path, { pointer: one.path, message });
  }
  return [...faults.values()];
}

type Fault = Omit<ValidationError["all"][number], "summary">;

/** Most faults of one list that are told. */
const maxItemFaults = 16;

/** Where a list is one of the alternatives and a list came: what is wrong with it, item by item. */
function itemsOf(fault: Fault): readonly Fault[] {
  if (!Array.isArray(fault.value)) return [fault];
  const alternatives: readonly TSchema[] = fault.schema["anyOf"] ?? [];
  const faults = fault.errors[alternatives.findIndex(({ type }) => type === "array")];
  return faults === undefined ? [fault] : [...Iterator.from(faults).take(maxItemFaults)];
}

/** What TypeBox says, but where its words are its own. */
function expectationOf({
  schema,
  message,
}: {
  readonly schema: TSchema;
  readonly message: string;
}): string {
  if (schema.title === "StoredPart") return "expected a file";
  if (schema.title === "Base64") return "expected string";
  const alternatives: readonly TSchema[] = schema["anyOf"] ?? [];
  if (alternatives.some(({ type }) => type === "boolean")) return "expected true or false";
  if (alternatives.length > 0) return `expected ${kindsOf(alternatives).join(" or ")}`;
  return message.slice(0, 1).toLowerCase() + message.slice(1);
}

/** What each alternative takes: a word of its own, or a type. */
function kindsOf(alternatives: readonly TSchema[]): readonly string[] {
  return alternatives.flatMap((one) => {
    const inner: readonly TSchema[] = one["anyOf"] ?? [];
    if (inner.length > 0) return kindsOf(inner);
    // Elysia also takes the text of a number.
    if (one["type"] === "string" && one["format"] !== undefined) return [];
    return String(one["const"] ?? (one.title === "Base64" ? "string" : one["type"]));
  });
}
