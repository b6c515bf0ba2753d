/** What becomes of one image or text of a bulk command: a record for the output, or one that says why not. */
import { setTimeout as wait } from "node:timers/promises";
import type { Embedder } from "../core/embed.ts";
import type { TextEmbedder } from "../core/embed-text.ts";
import { Problem, stackOf } from "../errors.ts";
import type { Log } from "../log.ts";
import type { ImageSource } from "../sources/source.ts";
import type { JsonWithVectors } from "../vector/json-bytes.ts";
import type { Listed } from "./source-list.ts";

/** A line of the output. */
export interface Outcome {
  readonly isEmbedded: boolean;
  readonly record: JsonWithVectors;
}

interface OutcomeOptions {
  /** An id, plain or exact. */
  readonly model: string;
  readonly normalize: boolean;
  readonly log: Log;
  /** Ends everything: the outcome is then thrown away. */
  readonly stop: AbortSignal;
}

/** Times that a model which is busy or out of quota is asked again. */
const maxRetries = 10;

/** Makes what embeds one image. It throws the signal's reason, and nothing else. */
export function createImageWork(embedder: Embedder, options: OutcomeOptions) {
  const { model, normalize, stop } = options;
  return ({ name, ...found }: Listed<ImageSource>): Promise<Outcome> =>
    toOutcome(name, options, async () => {
      if ("problem" in found) return found.problem;
      const input = { source: found.thing, model, normalize, keep: false };
      const embedded = await untilTaken(() => embedder.embed(input, stop, {}), stop);
      if (embedded instanceof Problem) return embedded;
      const { vector, sha256 } = embedded;
      return { model: embedded.model, dimensions: vector.length, sha256, vector };
    });
}

/** Makes what embeds one text. It throws the signal's reason, and nothing else. */
export function createTextWork(textEmbedder: TextEmbedder, options: OutcomeOptions) {
  const { model, normalize, stop } = options;
  return ({ name, ...found }: Listed<string>): Promise<Outcome> =>
    toOutcome(name, options, async () => {
      if ("problem" in found) return found.problem;
      const text = found.thing;
      const embedded = await untilTaken(
        () => textEmbedder.embed({ texts: [text], model, normalize }, stop, {}),
        stop,
      );
      if (embedded instanceof Problem) return embedded;
      const [vector = new Float32Array()] = embedded.vectors;
      const [truncated] = embedded.truncated;
      return { text, model: embedded.model, dimensions: vector.length, truncated, vector };
    });
}

async function toOutcome(
  source: string,
  { log, stop }: OutcomeOptions,
  embed: () => Promise<Problem | { readonly [name: string]: JsonWithVectors }>,
): Promise<Outcome> {
  const result = await embed().catch((error: unknown) => {
    stop.throwIfAborted();
    log.error("not embedded, because of a mistake of this program", { error: stackOf(error) });
    return new Problem("internal-error", "The program made a mistake: its log says which.");
  });
  stop.throwIfAborted();
  if (result instanceof Problem) {
    const error = { code: result.code, detail: result.message };
    return { isEmbedded: false, record: { source, error } };
  }
  return { isEmbedded: true, record: { source, ...result } };
}

/** Asks again, for as long as the answer is to come back later. */
async function untilTaken<Result>(
  embed: () => Promise<Result | Problem>,
  signal: AbortSignal,
): Promise<Result | Problem> {
  for (let retries = 0; ; retries += 1) {
    const result = await embed();
    if (!(result instanceof Problem) || !isBusy(result) || retries === maxRetries) return result;
    await wait((result.retryAfterS ?? 1) * 1000, undefined, { signal });
  }
}

function isBusy({ code }: Problem): boolean {
  return code === "overloaded" || code === "upstream-rate-limited";
}
