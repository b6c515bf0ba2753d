/** Where an image comes from, and the one way to get its bytes. */
import type { ImageBytes } from "../backends/protocol.ts";
import { readSmallFile } from "./file.ts";
import type { StoredPart } from "./upload.ts";
import type { UrlSource } from "./url.ts";

/** An image that a request or a command names or brings. */
export type ImageSource =
  | { readonly kind: "url"; readonly url: string }
  /** Bytes in a buffer of their own, which is given away. */
  | {
      readonly kind: "memory";
      readonly bytes: Uint8Array<ArrayBuffer>;
      /** Lower-case hex digest of the bytes, where it is known. */
      readonly sha256?: string;
    }
  | { readonly kind: "upload"; readonly part: StoredPart }
  /** A file of whoever runs the command, never one that a request names. */
  | { readonly kind: "file"; readonly path: string };

/**
 * Gets the bytes of an image, whatever they turn out to be.
 *
 * @throws Problem for each way in which that fails, and the signal's reason when the caller leaves.
 */
export type Acquire = (source: ImageSource, signal: AbortSignal) => Promise<ImageBytes>;

/** Makes `acquire` from the fetcher of URLs and the limit of an image's bytes. */
export function createAcquire(urlSource: UrlSource, maxImageBytes: number): Acquire {
  return async (source, signal) => {
    switch (source.kind) {
      case "url":
        return { kind: "memory", bytes: await urlSource.open(source.url, signal) };
      case "memory":
        return source;
      case "upload":
        return source.part.image;
      case "file":
        return await readSmallFile(source.path, maxImageBytes);
      default:
        return source satisfies never;
    }
  };
}
