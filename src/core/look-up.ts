/** The use case: the vector of an image that the caller knows by its digest, and that was here before. */
import type { ImageBackend } from "../backends/backend.ts";
import { Problem } from "../errors.ts";
import { normalizeL2 } from "../vector/normalize.ts";
import { type Embedded, unknownModel } from "./embed.ts";
import { findModel } from "./model-ids.ts";
import type { Recall } from "./recall.ts";

export interface LookUpInput {
  /** Digest of the image's bytes, lower-case hex. */
  readonly sha256: string;
  /** A model's id, plain or exact. */
  readonly model: string;
  /** Whether the vector is scaled to unit length. */
  readonly normalize: boolean;
}

/** A vector that was found. */
export interface Known extends Required<Pick<Embedded, "model" | "sha256">> {
  /** As it is kept: mostly the same object as before, where nothing has changed. */
  readonly kept: Float32Array;
  /** As it was asked for. */
  readonly vector: () => Float32Array;
}

/** Finds a vector, at once. Nothing is computed or asked for. */
export type LookUp = (input: LookUpInput) => Known | Problem;

interface LookUpOptions {
  readonly backends: readonly ImageBackend[];
  /** Undefined where no vectors are kept. */
  readonly recall: Pick<Recall, "find"> | undefined;
}

/** Makes the use case. */
export function createLookUp({ backends, recall }: LookUpOptions): LookUp {
  return ({ sha256, model, normalize }) => {
    const backend = findModel(backends, model);
    if (backend === undefined) return unknownModel(model, backends);
    // Which vectors are a model's is not known before it is loaded.
    if (recall !== undefined && backend.fingerprint() === undefined) {
      const problem = backend.admission({ kind: "image", inputs: 0, deadline: performance.now() });
      if (problem !== undefined) return problem;
    }
    const known = recall?.find(backend, sha256);
    if (known === undefined) return notKnown();
    const { model: made, vector: kept } = known;
    return { model: made, sha256, kept, vector: () => (normalize ? normalizeL2(kept) : kept) };
  };
}

function notKnown(): Problem {
  return new Problem(
    "not-found",
    "No vector of this image and model is kept here: send the image itself.",
  );
}
