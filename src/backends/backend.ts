/** The contract between the core and whatever turns an image into a vector. */
import type { Problem } from "../errors.ts";
import type { Stage } from "../observer.ts";
import type { InputKind } from "./job.ts";
import type {
  AlsoWanted,
  ImageBytes,
  ImageFacts,
  ImageReport,
  PreparedOutcome,
} from "./protocol.ts";

/** Whether a backend serves, and if not, why and since when it may again. */
export type BackendState =
  /** `why` where it serves images, but texts no longer. */
  | { readonly kind: "ready"; readonly why?: string }
  /** `retryAfterS` where it is known: seconds until a download is done, or tried again. */
  | { readonly kind: "loading"; readonly why: string; readonly retryAfterS?: number }
  | { readonly kind: "unavailable"; readonly why: string; readonly retryAfterS?: number };

/** Milliseconds by stage, for `Server-Timing`. */
export type StageTimings = Partial<Record<Stage, number>>;

export interface EmbedJob {
  /** Given away: `memory` bytes come back in the outcome. */
  readonly image: ImageBytes;
  /** Aborts when the caller has left; the work is then dropped as soon as it can be. */
  readonly signal: AbortSignal;
  /** Whose job it is, where the signal does not tell: callers take turns. */
  readonly caller?: object;
  /** `performance.now()` by which the outcome must be there. */
  readonly deadline: number;
  /** W3C trace context of the request, for calls of others on its behalf. */
  readonly traceparent?: string | undefined;
  /** What else the decoding is to give; only a report, where the model does not decode for others. */
  readonly also?: AlsoWanted | undefined;
  /** What another model's decoding of the same image has made for this one: then it decodes nothing. */
  readonly prepared?: PreparedOutcome | undefined;
}

/** What a request is about to ask for. */
export interface Demand {
  readonly kind: InputKind;
  /** How many. */
  readonly inputs: number;
  /** `performance.now()` by which the last must have been begun. */
  readonly deadline: number;
}

export interface TextJob {
  /** Whatever is too long for the model is cut. */
  readonly text: string;
  /** Aborts when the caller has left; the work is then dropped as soon as it can be. */
  readonly signal: AbortSignal;
  /** `performance.now()` by which the embedding must be there. */
  readonly deadline: number;
}

/** A vector as its model gives it. */
export interface Embedding {
  /** Exactly what made it, such as `clip-ViT-B-32@synthetic`. */
  readonly model: string;
  /** float32, [dimensions], not normalised. */
  readonly vector: Float32Array;
}

export interface BackendOutcome {
  /** Present when the bytes decoded, even if the model then failed: such bytes are worth keeping. */
  readonly facts?: ImageFacts;
  /** The bytes of a `memory` image, given back. */
  readonly bytes?: Uint8Array<ArrayBuffer>;
  readonly result: Embedding | Problem;
  readonly timings: StageTimings;
  /** Where it was wanted, unless the work was joined with somebody's who did not want it. */
  readonly prepared?: PreparedOutcome;
  /** As above. */
  readonly report?: ImageReport;
}

/** A text's vector. */
export interface TextEmbedding extends Embedding {
  /** Whether the end of the text was left out. */
  readonly truncated: boolean;
  /** Tokens that the model read, its marks of start and end included. */
  readonly tokens: number;
  readonly timings: StageTimings;
}

/** A model, whatever it takes. */
export interface Backend {
  /** What requests call it: `clip-ViT-B-32`, `nv-dinov2`. */
  readonly id: string;
  /** Ids that name what is loaded exactly, such as `clip-ViT-B-32@synthetic`. */
  readonly exactId: string;
  /** Length of its vectors. */
  readonly dimensions: number;
  state(): BackendState;
  /** The problem that a demand would meet before any work is done for it, if one is known now. */
  admission(demand: Demand): Problem | undefined;
}

/** A model of images. */
export interface ImageBackend extends Backend {
  /**
   * What its vectors depend on beside the image and how its pixels are read: those made under another are not
   * the same. Undefined while it is not known.
   */
  fingerprint(): string | undefined;
  /** Pixels of the square, cut out of the centre, that it sees; absent where it sees the whole image. */
  readonly side?: number;
  /** Whether its decoding can make what a hosted model sends. */
  readonly decodesForOthers?: boolean;
  /** Characters of base64 that it can send of an image; absent where the image stays here. */
  readonly maxBase64Chars?: number;
  /**
   * Embeds one image; a failure is an outcome.
   *
   * @throws Problem when nothing was done for the image (no worker in time, the service stops), and the
   *   signal's reason when the caller has left.
   */
  embed(job: EmbedJob): Promise<BackendOutcome>;
}

/** A model of texts, whose vectors can be compared with those of its images. */
export interface TextBackend extends Backend {
  /** What names exactly what embeds texts, where it is another than what embeds images: fp32 beside int8. */
  readonly textId?: string;
  /**
   * Embeds one text.
   *
   * @throws Problem when nothing was done for it (no worker in time, the service stops), and the signal's
   *   reason when the caller has left.
   */
  embedText(job: TextJob): Promise<TextEmbedding>;
}
