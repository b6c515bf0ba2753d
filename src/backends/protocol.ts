/**
 * What crosses the thread boundary, one union each way. Bytes and vectors are transferred, never
 * copied: after a task is posted its `memory` bytes are gone from the sender.
 */
import type { FieldFault, ProblemCode } from "../errors.ts";
import type { ImageHint } from "../image/hints.ts";
import type { Orientation } from "../image/orientation.ts";
import type { ImageFormat } from "../image/signature.ts";
import type { Normalization } from "../image/tensor.ts";
import type { FileFacts } from "../models/checked-files.ts";
import type { ClipArchitecture } from "../models/onnx/architecture.ts";
import type { Int8Arithmetic } from "../models/onnx/arithmetic.ts";
import type { ModelFiles } from "../models/prepared.ts";
import type { JsonRules } from "../text/json-body.ts";

/** An image's bytes as received: in memory, or in a file that nobody changes meanwhile. */
export type ImageBytes = (
  | { readonly kind: "memory"; readonly bytes: Uint8Array<ArrayBuffer> }
  | { readonly kind: "file"; readonly path: string }
) & {
  /** Lower-case hex digest of the bytes, where it is known: then nobody hashes them again. */
  readonly sha256?: string;
};

/** How pixels are read; the same for every image of a process. */
export interface DecodeOptions {
  /** Most pixels (width × height) of an image. */
  readonly maxPixels: number;
  /** Whether the EXIF orientation is applied. */
  readonly orientation: "apply" | "ignore";
}

/** What a model wants its pixels to be. */
export interface PixelInput extends Normalization {
  /** Pixels of its square input. */
  readonly side: number;
}

/** Where a prepared model lies, and how to run it. */
export interface ClipModelFile extends PixelInput {
  /** ONNX file of the image tower: `pixel_values` [n, 3, side, side] → `image_embeds` [n, dimensions]. */
  readonly imageTower: string;
  /** The same, packed for this host; it is loaded in the other's place as long as it is unchanged. */
  readonly packedImageTower?: string | undefined;
  /** Length of an embedding. */
  readonly dimensions: number;
  /** onnxruntime's intra-op threads of this worker. */
  readonly threads: number;
  /** Those of the second session that one worker opens for a picture that comes alone; absent where none does. */
  readonly wideThreads?: number | undefined;
}

/** A model's text tower, and how to run it. */
export interface ClipTextModelFile {
  /** ONNX file: `input_ids` int64 [n, length] → `text_embeds` [n, dimensions]. */
  readonly textTower: string;
  /** The same, packed for this host; it is loaded in the other's place as long as it is unchanged. */
  readonly packedTextTower?: string | undefined;
  /** Whether its graph computes next to nothing of padding, as ours does; those that others publish compute it all. */
  readonly skipsPadding: boolean;
  /** Length of an embedding. */
  readonly dimensions: number;
  /** onnxruntime's intra-op threads of this worker. */
  readonly threads: number;
}

/** A model that is to be ready to run, and what from. */
export interface ModelToWrite {
  /** Folder of its towers, and of the record that says that they are unchanged. */
  readonly folder: string;
  readonly from: TowerSource;
  /** Present where the image tower is to run in this arithmetic: it lies in a folder of its own beside that one. */
  readonly int8?: Int8Arithmetic;
}

/** What a model's two towers come from. */
export type TowerSource = { readonly architecture: ClipArchitecture } & (
  | { readonly kind: "seed" }
  /** A safetensors file; no path where it is not here: then only what was written from it earlier will do. */
  | ({ readonly kind: "weights"; readonly path: string | undefined } & FileFacts)
  /** A published pair of ONNX files, which is served as it stands. */
  | {
      readonly kind: "onnx";
      readonly files: ModelFiles;
      readonly image: FileFacts;
      readonly text: FileFacts;
    }
);

/** The ONNX files of both towers, or one sentence about why there are none. */
export type WrittenModel =
  | (ModelFiles & {
      /** The same towers, packed for this host; absent where that could not be done. */
      readonly packed?: ModelFiles;
      /** One sentence or two about what somebody should know. */
      readonly warning?: string;
    })
  /** `mayPass`: another try may help, as where a disk is full. */
  | { readonly unavailable: string; readonly mayPass?: boolean };

/** One number that all workers share: how many of them infer now, or -1 while one has every core. */
export type SharedCores = Int32Array<SharedArrayBuffer>;

/** What a worker is asked to do. */
export type Task =
  | { readonly kind: "ping" }
  | {
      readonly kind: "warm-up";
      readonly model: ClipModelFile | undefined;
      /** Shared with the other workers; a worker without it has no others. */
      readonly cores?: SharedCores;
    }
  /** Opens the second session of a model that is warm, with `wideThreads`. */
  | { readonly kind: "open-wide" }
  | {
      /** Sees to it that both towers are there: they are checked, or written. */
      readonly kind: "write-model";
      readonly model: ModelToWrite;
      /** One number, shared with who asked: anything but 0 ends the task, and nothing half-written stays. */
      readonly stop?: Int32Array<SharedArrayBuffer>;
    }
  | {
      readonly kind: "embed-images";
      /** 1 to 8 images; each has an outcome of its own. */
      readonly images: readonly ImageBytes[];
      readonly decode: DecodeOptions;
      /** Whether no worker had anything to do when it came: it may be inferred on all cores. */
      readonly isAlone?: boolean;
      /** What is wanted beside the vectors, image by image. */
      readonly also?: readonly (AlsoWanted | undefined)[];
    }
  | {
      readonly kind: "embed-texts";
      /** Loaded with the first task that names it, and kept. */
      readonly model: ClipTextModelFile;
      /** One text or more; whatever is too long for the model is cut. */
      readonly texts: readonly string[];
    }
  | {
      readonly kind: "prepare-upstream";
      readonly image: ImageBytes;
      readonly decode: DecodeOptions;
      /** Characters that the image may have as base64. */
      readonly maxBase64Chars: number;
      /** Pixels of the longer side at most; unless told, what NVIDIA's model wants. */
      readonly maxSide?: number | undefined;
      /** Whether a report is wanted, too. */
      readonly isReported?: boolean;
    }
  | {
      /** Prepares images and texts as for the model, but only tells what it would be fed. */
      readonly kind: "read-inputs";
      readonly images: readonly ImageBytes[];
      readonly texts: readonly string[];
      readonly decode: DecodeOptions;
      readonly input: PixelInput;
    };

/** What one decoding of an image is to give beside its vector. */
export interface AlsoWanted {
  /** Makes the image fit for the hosted model as well; characters that it may have as base64. */
  readonly maxBase64Chars?: number;
  /** Whether a report is wanted. */
  readonly isReported?: boolean;
}

/** What was seen of an image while it was decoded. */
export interface ImageReport {
  /** EXIF's, as the file has it. */
  readonly orientation: Orientation;
  /** Whether the pixels were turned by it. */
  readonly isTurned: boolean;
  /** As libvips calls it, before it became RGB: `srgb`, `b-w`, `cmyk`, `rgb16` … */
  readonly colourSpace: string;
  readonly hasAlpha: boolean;
  /** Frames or pages in the file, of which the first is read. */
  readonly frames: number;
  /** Bytes of the file. */
  readonly bytes: number;
  readonly hints: readonly ImageHint[];
}

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
  /** Of a `validation-failed`. */
  readonly faults?: readonly FieldFault[];
}

/** Milliseconds that the stages of one image took in the worker. */
export interface WorkerTimings {
  readonly decodeMs: number;
  readonly inferMs: number;
  /** onnxruntime's threads that inferred it; absent where none did. */
  readonly inferThreads?: number;
}

/** Outcome of one image of an `embed-images`. */
export interface EmbedOutcome {
  /** Present when the bytes decoded, even if the model then failed. */
  readonly facts?: ImageFacts;
  /** The bytes of a `memory` image, given back. */
  readonly bytes?: Uint8Array<ArrayBuffer>;
  /** Nothing was done with the image, since those before it took too long: it may go into a later batch. */
  readonly notStarted?: true;
  /** As in `PreparedOutcome`, where it was wanted. */
  readonly prepared?: PreparedOutcome["result"];
  /** Where it was wanted, and the image decoded. */
  readonly report?: ImageReport;
  readonly result: /** float32, [dimensions], as the model gives it. */
  { readonly vector: Float32Array<ArrayBuffer> } | { readonly problem: ProblemMessage };
  readonly timings: WorkerTimings;
}

/** Outcome of one text of an `embed-texts`. */
export interface TextOutcome {
  /** float32, [dimensions], as the model gives it. */
  readonly vector: Float32Array<ArrayBuffer>;
  /** Whether the end of the text was left out. */
  readonly truncated: boolean;
  /** Tokens that the model read, start and end token included. */
  readonly tokens: number;
  /** Milliseconds that the batch took in the worker. */
  readonly inferMs: number;
}

/** Outcome of a `prepare-upstream`. */
export interface PreparedOutcome {
  readonly facts?: ImageFacts;
  /** Where it was wanted, and the image decoded. */
  readonly report?: ImageReport;
  readonly bytes?: Uint8Array<ArrayBuffer>;
  readonly result:
    | { readonly image: Uint8Array<ArrayBuffer>; readonly mime: "image/jpeg" | "image/png" }
    | { readonly problem: ProblemMessage };
  readonly timings: WorkerTimings;
}

/** What a model would be fed for an image. */
export interface ImageInput {
  readonly facts: ImageFacts;
  /** Lower-case hex digest of its pixel values: float32, little-endian, [3, side, side]. */
  readonly pixelValuesSha256: string;
}

/** Outcome of a `read-inputs`, in the order of its images and texts. */
export interface ModelInputs {
  readonly images: readonly (ImageInput | { readonly problem: ProblemMessage })[];
  /** Of each text, start and end token included. */
  readonly tokenIds: readonly (readonly number[])[];
}

/** What each kind of task answers. */
export interface Answers {
  /** Whether the thread holds a model: one that took a dead one's place holds none. */
  readonly ping: { readonly isWarm: boolean };
  /** A model that cannot be used is a problem. */
  readonly "warm-up": { readonly warmUpMs: number } | { readonly problem: ProblemMessage };
  /** Not open: it is not needed, its memory could not be had, or the thread holds no model. */
  readonly "open-wide": { readonly isOpen: boolean };
  readonly "write-model": WrittenModel;
  readonly "embed-images": readonly EmbedOutcome[];
  /** A tower that cannot be used is a problem of them all. */
  readonly "embed-texts": readonly TextOutcome[] | { readonly problem: ProblemMessage };
  readonly "prepare-upstream": PreparedOutcome;
  readonly "read-inputs": ModelInputs;
}

/** What the JSON worker is asked to do: its one task. */
export interface ParseJson {
  /** The body's bytes in order, cut anywhere. */
  readonly pieces: readonly Uint8Array<ArrayBuffer>[];
  readonly rules: JsonRules;
}

/** What the JSON worker answers. */
export type ParsedJson =
  /** As `parseJsonBody` gives it. */
  { readonly value: unknown } | { readonly problem: ProblemMessage };

/** A vector on its way into the cache. */
export interface NewEmbedding {
  readonly facts: ImageFacts;
  /** What it depends on beside the image: a vector of another is never taken for it. */
  readonly fingerprint: string;
  /** What made it, as its maker says. */
  readonly model: string;
  /** float32, [dimensions], not normalised. */
  readonly vector: Float32Array;
}

/** What the threads of the embedding cache are asked to do. */
export type CacheTask =
  | { readonly kind: "digest"; readonly image: ImageBytes }
  | {
      /** Puts vectors into the cache's file, which is made where it is missing. */
      readonly kind: "write";
      readonly path: string;
      /** Of the file and its write-ahead log. */
      readonly maxBytes: number;
      /** Whether the process has just started: a file of another version is then replaced. */
      readonly isFirst: boolean;
      /** The file that whoever reads it has found broken: it is put aside, if it is still there. */
      readonly brokenFileId: string | undefined;
      /** Copied, since the answers need the vectors too. */
      readonly embeddings: readonly NewEmbedding[];
      /** Rows that were used. */
      readonly used: readonly number[];
    };

/** What each kind of them answers. */
export interface CacheAnswers {
  /** The image, given back with its digest; or what the file system said. */
  readonly digest: (ImageBytes & { readonly sha256: string }) | { readonly fault: string };
  readonly write: /** `fileId`: what tells the file from another under its path. `isNew`: a broken one was put aside. */
    | { readonly fileId: string; readonly isNew: boolean }
    /** One clause about why nothing was written. */
    | { readonly fault: string };
}
