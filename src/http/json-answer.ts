/** Answers that bring vectors: JSON that is written straight to bytes. */
import { type JsonWithVectors, jsonBytes, type WithVectors } from "../vector/json-bytes.ts";

/**
 * Makes the answer 200. Elysia would take the vectors' bytes for an object, so it gets a whole response, which
 * it does not hold to the route's schema: the type does.
 *
 * @typeParam Answer the static type of the route's schema.
 * @param _request the request that is answered.
 */
export function jsonAnswer<Answer>(
  _request: Request,
  answer: WithVectors<Answer> & JsonWithVectors,
): Response {
  return new Response(jsonBytes(answer), { headers: { "content-type": "application/json" } });
}
