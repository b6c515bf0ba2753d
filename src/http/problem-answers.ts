/** The shapes of error answers, problems and OpenAI's, as the routes declare them and the OpenAPI document shows them. */
import { type TSchema, t } from "elysia";
import { type ProblemCode, problems } from "../errors.ts";
import { openAiCode, openAiStatus } from "./openai-error.ts";

/** The body of the problems that share a status, with the first as the example. */
const problemBody = (codes: readonly ProblemCode[], httpStatus: number) => {
  const examples = codes.slice(0, 1);
  return t.Object(
    {
      type: t.String({
        description: "Path of a page that explains the problem.",
        examples: examples.map((code) => `/problems/${code}`),
      }),
      title: t.String({ examples: examples.map((code) => problems[code].title) }),
      status: t.Integer({ examples: [httpStatus] }),
      detail: t.String({ description: "What to change." }),
      code: t.Union(codes.map((code) => t.Literal(code))),
      request_id: t.String(),
      ...(codes.includes("origin-error") && { origin_status: originStatus }),
      ...(codes.includes("validation-failed") && { errors: fieldFaults }),
    },
    { description: codes.map((code) => `\`${code}\`: ${problems[code].title}.`).join(" ") },
  );
};

const originStatus = t.Optional(t.Integer({ description: "What the image's host answered." }));
const fieldFaults = t.Optional(
  t.Array(
    t.Object({
      pointer: t.String({ description: "Where in the body, as in RFC 6901." }),
      message: t.String(),
    }),
  ),
);

/** The problems that a request can meet, as Elysia's `response` table: one schema a status. */
export function problemAnswers(codes: readonly ProblemCode[]): Record<number, TSchema> {
  const byStatus = Map.groupBy(codes, (code) => problems[code].status);
  return Object.fromEntries(
    [...byStatus].map(([httpStatus, some]) => [httpStatus, problemBody(some, httpStatus)]),
  );
}

/** The body of the errors under `/v1` that share a status. */
const openAiErrorBody = (codes: readonly ProblemCode[]) =>
  t.Object(
    {
      error: t.Object({
        message: t.String({ description: "What to change." }),
        type: t.String({ examples: ["invalid_request_error"] }),
        param: t.Nullable(
          t.String({ description: "The field that it is about.", examples: ["input[3].image"] }),
        ),
        code: t.Union(codes.map((code) => t.Literal(openAiCode(code)))),
      }),
    },
    {
      description: codes
        .map((code) => `\`${openAiCode(code)}\`: ${problems[code].title}.`)
        .join(" "),
    },
  );

/** The same for requests under `/v1`. */
export function openAiErrors(codes: readonly ProblemCode[]): Record<number, TSchema> {
  const byStatus = Map.groupBy(codes, openAiStatus);
  return Object.fromEntries([...byStatus].map(([status, some]) => [status, openAiErrorBody(some)]));
}
