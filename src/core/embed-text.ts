/** The use case: texts become one embedding each, or one Problem for all. */
import type { Demand, ImageBackend, StageTimings, TextBackend } from "../backends/backend.ts";
import { Problem } from "../errors.ts";
import { noteStages, type Trail } from "../observer.ts";
import { normalizeL2 } from "../vector/normalize.ts";
import { findModel, findTextModel, listIds } from "./model-ids.ts";

export interface EmbedTextInput {
  readonly texts: readonly string[];
  /** A model's id, plain or exact. */
  readonly model: string;
  /** Whether the vectors are scaled to unit length. */
  readonly normalize: boolean;
  /** Whose request it is, for metrics, traces and the log. */
  readonly trail?: Trail | undefined;
  /** `performance.now()` by which they must be there, where the request brings more than texts. */
  readonly deadline?: number | undefined;
}

/** What a caller gets for texts, in their order. */
export interface EmbeddedTexts {
  /** Exactly what made the vectors. */
  readonly model: string;
  /** float32, [dimensions] each. */
  readonly vectors: readonly Float32Array[];
  /** Of each text: whether its end was left out, because the model takes no longer one. */
  readonly truncated: readonly boolean[];
  /** Of each text: tokens that the model read. */
  readonly tokens: readonly number[];
}

interface TextEmbedderOptions {
  readonly backends: readonly TextBackend[];
  /** Models that are served, but for images alone. */
  readonly imageBackends: readonly ImageBackend[];
  /** ms from the request's last byte to its answer. */
  readonly requestTimeoutMs: number;
}

export interface TextEmbedder {
  /** The problem that a text for this model would meet now, if one is known before it is here. */
  refusal(model: string): Problem | undefined;
  /**
   * Embeds texts.
   *
   * @param timings filled in as the stages end: of the slowest text.
   * @throws only what nobody expected, and the signal's reason when the caller left.
   */
  embed(
    input: EmbedTextInput,
    signal: AbortSignal,
    timings: StageTimings,
  ): Promise<EmbeddedTexts | Problem>;
}

/** Makes the use case from its models. */
export function createTextEmbedder(options: TextEmbedderOptions): TextEmbedder {
  const { backends, imageBackends, requestTimeoutMs } = options;

  /** The model that is asked, where it takes so many texts now. */
  function admit(model: string, demand: Demand): TextBackend | Problem {
    const backend = findTextModel(backends, model);
    if (backend === undefined) return unknownModel(model, backends, imageBackends);
    return backend.admission(demand) ?? backend;
  }

  return {
    refusal: (model) => {
      const deadline = performance.now() + requestTimeoutMs;
      const admitted = admit(model, { kind: "text", inputs: 1, deadline });
      return admitted instanceof Problem ? admitted : undefined;
    },
    embed: async ({ texts, model, normalize, trail, ...terms }, signal, timings) => {
      const deadline = terms.deadline ?? performance.now() + requestTimeoutMs;
      const backend = admit(model, { kind: "text", inputs: texts.length, deadline });
      if (backend instanceof Problem) return backend;
      // When one fails, the others are nobody's any more.
      const end = new AbortController();
      const job = { signal: AbortSignal.any([signal, end.signal]), deadline };
      const startedAt = performance.now();
      if (texts.length > 0) trail?.noteInputs("text", texts.length);
      try {
        const embedded = await Promise.all(
          texts.map(async (text) => {
            const one = await backend.embedText({ ...job, text });
            noteStages(trail, one.timings, { startedAt, endedAt: performance.now() });
            return one;
          }),
        );
        for (const one of embedded) addSlowest(timings, one.timings);
        return {
          model: backend.textId ?? backend.exactId,
          vectors: embedded.map(({ vector }) => (normalize ? normalizeL2(vector) : vector)),
          truncated: embedded.map(({ truncated }) => truncated),
          tokens: embedded.map(({ tokens }) => tokens),
        };
      } catch (error) {
        if (error instanceof Problem) return error;
        throw error;
      } finally {
        end.abort();
      }
    },
  };
}

function addSlowest(timings: StageTimings, { queue = 0, infer = 0 }: StageTimings): void {
  timings.queue = Math.max(timings.queue ?? 0, queue);
  timings.infer = Math.max(timings.infer ?? 0, infer);
}

function unknownModel(
  model: string,
  backends: readonly TextBackend[],
  imageBackends: readonly ImageBackend[],
): Problem {
  const served = listIds(
    backends.map(({ id, exactId, textId = exactId }) => ({ id, exactId: textId })),
  );
  const named = JSON.stringify(model.slice(0, 100));
  const isForImages = findModel(imageBackends, model) !== undefined;
  const why = isForImages ? "embeds images, but no texts" : "is not served here";
  return new Problem("unknown-model", `The model ${named} ${why}; these embed texts: ${served}.`);
}
