/** What becomes of one image or text of a bulk command: a record for the output, or one that says why not. */
import { setTimeout as wait } from "node:timers/promises";
import type { Embedder } from "../core/embed.ts";
import type { TextEmbedder } from "../core/embed-text.ts";
import { Problem, stackOf } from "../errors.ts";
import type { Log } from "../log.ts";
import type { ImageSource } from "../sources/source.ts";
import type { EmbeddedRecord, FailedRecord } from "./embed-record.ts";
import type { Listed } from "./source-list.ts";

/** What is written of it. */
export type Outcome = { readonly embedded: EmbeddedRecord } | { readonly failed: FailedRecord };

/** Work on one listed thing. It throws the signal's reason, and what ends everything. */
export type Work<Thing> = (listed: Listed<Thing>) => Promise<Outcome>;

export interface OutcomeOptions {
  /** An id, plain or exact. */
  readonly model: string;
  readonly normalize: boolean;
  readonly log: Log;
  /** Ends everything: the outcome is then thrown away. */
  readonly stop: AbortSignal;
}

/** Times that a model which is busy or out of quota is asked again. */
const maxRetries = 10;

/** Makes what embeds one image here. */
export function createImageWork(embedder: Embedder, options: OutcomeOptions): Work<ImageSource> {
  const { model, normalize, stop } = options;
  return (listed) =>
    toOutcome(listed, options, async (source) => {
      const input = { source, model, normalize, keep: false };
      const embedded = await untilTaken(() => embedder.embed(input, stop, {}), stop);
      if (embedded instanceof Problem) return embedded;
      const { vector, sha256 } = embedded;
      return { model: embedded.model, ...(sha256 && { sha256 }), vector };
    });
}

/** Makes what embeds one text here. */
export function createTextWork(textEmbedder: TextEmbedder, options: OutcomeOptions): Work<string> {
  const { model, normalize, stop } = options;
  return (listed) =>
    toOutcome(listed, options, async (text) => {
      const input = { texts: [text], model, normalize };
      const embedded = await untilTaken(() => textEmbedder.embed(input, stop, {}), stop);
      if (embedded instanceof Problem) return embedded;
      const [vector = new Float32Array()] = embedded.vectors;
      const [truncated = false] = embedded.truncated;
      return { text, model: embedded.model, truncated, vector };
    });
}

/** What a record says of a vector, beside what follows from the call. */
type Embedded = Omit<EmbeddedRecord, "source" | "dimensions" | "normalized">;

/**
 * Embeds one listed thing, and makes a record of what comes of it.
 *
 * @param embed whatever else it throws ends everything, if `isFatal` says so; else it is a mistake of ours.
 */
export async function toOutcome<Thing>(
  { name: source, ...found }: Listed<Thing>,
  { log, stop, normalize }: Omit<OutcomeOptions, "model">,
  embed: (thing: Thing) => Promise<Problem | Embedded>,
  isFatal: (error: unknown) => boolean = () => false,
): Promise<Outcome> {
  const run = async () => ("problem" in found ? found.problem : await embed(found.thing));
  const result = await run().catch((error: unknown) => {
    stop.throwIfAborted();
    if (isFatal(error)) throw error;
    log.error("not embedded, because of a mistake of this program", { error: stackOf(error) });
    return new Problem("internal-error", "The program made a mistake: its log says which.");
  });
  stop.throwIfAborted();
  if (result instanceof Problem) {
    return { failed: { source, error: { code: result.code, detail: result.message } } };
  }
  const { vector, text, model, ...others } = result;
  const head = { source, ...(text !== undefined && { text }), model, dimensions: vector.length };
  return {
    embedded: { ...head, ...others, ...(normalize && { normalized: true as const }), vector },
  };
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
