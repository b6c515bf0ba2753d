/** Vectors that were made before: an image that is known is not decoded, not inferred, and not sent to NVIDIA. */
import type { BackendOutcome, EmbedJob, ImageBackend } from "../backends/backend.ts";
import type { ImageBytes } from "../backends/protocol.ts";
import { Problem } from "../errors.ts";
import type { DigestedImage, Digester } from "../sources/digest.ts";
import type { CachedEmbedding, EmbeddingCache } from "../store/embedding-cache.ts";

/** Whether a vector was known. */
export type CacheStatus = "hit" | "miss";

export interface RecallOptions {
  readonly cache: Pick<EmbeddingCache, "find" | "keep">;
  readonly digester: Pick<Digester, "digest">;
  /** How pixels are read, as far as vectors depend on it; the same for every image of a process. */
  readonly reading: string;
}

export interface Recall {
  /** The image with its digest; undefined where a file cannot be read. @throws Error where one in memory cannot be hashed. */
  digest(image: ImageBytes): Promise<DigestedImage | undefined>;
  /**
   * Finds the vector of an image, or has it made and keeps it. A failure is not kept.
   *
   * @returns the bytes of a `memory` image in any case.
   * @throws as the model does, and Error where an image in memory cannot be hashed.
   */
  embed(
    backend: ImageBackend,
    job: EmbedJob,
  ): Promise<BackendOutcome & { readonly cache: CacheStatus }>;
  /** The vector of an image of which only the digest is known; undefined where it is not here. */
  find(backend: ImageBackend, sha256: string): CachedEmbedding | undefined;
}

/** Makes the recall over a cache. */
export function createRecall({ cache, digester, reading }: RecallOptions): Recall {
  function fingerprintOf(backend: ImageBackend): string | undefined {
    const fingerprint = backend.fingerprint();
    return fingerprint && `${fingerprint} ${reading}`;
  }

  function find(backend: ImageBackend, sha256: string): CachedEmbedding | undefined {
    const fingerprint = fingerprintOf(backend);
    return fingerprint === undefined ? undefined : cache.find(sha256, fingerprint);
  }

  /** Nothing where a file cannot be hashed; bytes in memory may be gone with the thread that had them. */
  async function digest(image: ImageBytes): Promise<DigestedImage | undefined> {
    const { sha256 } = image;
    if (sha256 !== undefined) return { ...image, sha256 };
    try {
      return await digester.digest(image);
    } catch (error) {
      if (image.kind === "memory") throw error;
      return undefined;
    }
  }

  return {
    digest,
    find,
    embed: async (backend, job) => {
      const startedAt = performance.now();
      const image = await digest(job.image);
      job.signal.throwIfAborted();
      if (image === undefined) return { ...(await backend.embed(job)), cache: "miss" };
      const known = find(backend, image.sha256);
      const timings = { cache: performance.now() - startedAt };
      const own = image.kind === "memory" ? { bytes: image.bytes } : {};
      if (known !== undefined) {
        const { facts, model, vector } = known;
        return { ...own, facts, result: { model, vector }, timings, cache: "hit" };
      }
      const fingerprint = fingerprintOf(backend);
      const outcome = await backend.embed({ ...job, image });
      const { facts, result } = outcome;
      if (fingerprint !== undefined && facts !== undefined && !(result instanceof Problem)) {
        cache.keep({ ...result, facts, fingerprint });
      }
      return { ...own, ...outcome, cache: "miss" };
    },
  };
}
