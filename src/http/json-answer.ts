/** Answers that bring vectors: JSON that is written straight to bytes, and compressed for whoever asks. */
import { type JsonWithVectors, jsonBytes, type WithVectors } from "../vector/json-bytes.ts";
import { encodeBody } from "./content-coding.ts";

/** What Elysia has set so far for the answer. */
interface AnswerSet {
  headers: Readonly<Record<string, string | number>>;
}

/** What a route's handler has of the request that it answers. */
export interface Answered {
  /** Says whether it takes compressed answers. */
  readonly request: Request;
  readonly set: AnswerSet;
}

/**
 * Makes the answer 200. Elysia would take the vectors' bytes for an object, so it gets a whole response, which
 * it does not hold to the route's schema: the type does.
 *
 * @typeParam Answer the static type of the route's schema.
 */
export async function jsonAnswer<Answer>(
  { request, set }: Answered,
  answer: WithVectors<Answer> & JsonWithVectors,
): Promise<Response> {
  const { bytes, headers } = await encodeBody(request, jsonBytes(answer));
  return new Response(bytes, {
    headers: { ...takeHeaders(set), "content-type": "application/json", ...headers },
  });
}

/**
 * Takes the headers that Elysia would add to a response, such as those of CORS: it would make a second response of
 * both, which takes as long again as the first.
 */
export function takeHeaders(set: AnswerSet): Readonly<Record<string, string>> {
  const taken = Object.entries(set.headers).map(([name, value]) => [name, String(value)]);
  set.headers = {};
  return Object.fromEntries(taken);
}
