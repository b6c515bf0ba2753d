/**
 * What crosses the thread boundary, one union each way. Bytes and vectors are transferred, never
 * copied: after a task is posted its `memory` bytes are gone from the sender.
 */
import type { ProblemCode } from "../errors.ts";
import type { ImageFormat } from "../image/signature.ts";

/** An image's bytes as received: in memory, or in a file that nobody changes meanwhile. */
export type ImageBytes =
  | { readonly kind: "memory"; readonly bytes: Uint8Array<ArrayBuffer> }
  | { readonly kind: "file"; readonly path: string };

/** How pixels are read; the same for every image of a process. */
export interface DecodeOptions {
  /** Most pixels (width × height) of an image. */
  readonly maxPixels: number;
  /** Whether the EXIF orientation is applied. */
  readonly orientation: "apply" | "ignore";
}

/** Where a prepared model lies, and how to run it. */
export interface ClipModelFile {
  /** ONNX file of the image tower: `pixel_values` [n, 3, side, side] → `image_embeds` [n, dimensions]. */
  readonly imageTower: string;
  /** Length of an embedding. */
  readonly dimensions: number;
  /** Pixels of the model's square input. */
  readonly side: number;
  /** onnxruntime's intra-op threads of this worker. */
  readonly threads: number;
}

/** A safetensors file that somebody put on this host, and what it must be. */
export interface PublishedWeights {
  readonly path: string;
  readonly bytes: number;
  /** Lower-case hex. */
  readonly sha256: string;
}

/** The ONNX files of both towers, or one sentence about why there are none. */
export type WrittenModel =
  | { readonly imageTower: string; readonly textTower: string }
  | { readonly unavailable: string };

/** What a worker is asked to do. */
export type Task =
  | { readonly kind: "warm-up"; readonly model: ClipModelFile | undefined }
  | {
      readonly kind: "write-model";
      /** Where the weights come from; undefined for the synthetic ones. */
      readonly weights: PublishedWeights | undefined;
      /** Folder under which the towers are written, unless they are there. */
      readonly directory: string;
    }
  | {
      readonly kind: "embed-images";
      /** 1 to 8 images; each has an outcome of its own. */
      readonly images: readonly ImageBytes[];
      readonly decode: DecodeOptions;
    }
  | {
      readonly kind: "prepare-upstream";
      readonly image: ImageBytes;
      readonly decode: DecodeOptions;
      /** Characters that the image may have as base64. */
      readonly maxBase64Chars: number;
    };

/** Facts about bytes that decoded as an image. */
export interface ImageFacts {
  /** Lower-case hex digest of the bytes as received. */
  readonly sha256: string;
  readonly format: ImageFormat;
  /** Pixels, as stored, before orientation. */
  readonly width: number;
  readonly height: number;
}

/** A Problem that can cross a thread. */
export interface ProblemMessage {
  readonly code: ProblemCode;
  readonly detail: string;
  /** What really happened, for the log. */
  readonly cause?: string;
}

/** Milliseconds that the stages of one image took in the worker. */
export interface WorkerTimings {
  readonly decodeMs: number;
  readonly inferMs: number;
}

/** Outcome of one image of an `embed-images`. */
export interface EmbedOutcome {
  /** Present when the bytes decoded, even if the model then failed. */
  readonly facts?: ImageFacts;
  /** The bytes of a `memory` image, given back. */
  readonly bytes?: Uint8Array<ArrayBuffer>;
  readonly result: /** float32, [dimensions], as the model gives it. */
  { readonly vector: Float32Array<ArrayBuffer> } | { readonly problem: ProblemMessage };
  readonly timings: WorkerTimings;
}

/** Outcome of a `prepare-upstream`. */
export interface PreparedOutcome {
  readonly facts?: ImageFacts;
  readonly bytes?: Uint8Array<ArrayBuffer>;
  readonly result:
    | { readonly image: Uint8Array<ArrayBuffer>; readonly mime: "image/jpeg" | "image/png" }
    | { readonly problem: ProblemMessage };
  readonly timings: WorkerTimings;
}

/** What each kind of task answers. */
export interface Answers {
  readonly "warm-up": { readonly warmUpMs: number };
  readonly "write-model": WrittenModel;
  readonly "embed-images": readonly EmbedOutcome[];
  readonly "prepare-upstream": PreparedOutcome;
}
