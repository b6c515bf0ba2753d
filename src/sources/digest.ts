/** The digest of an image, before anybody decodes it: of a large one in a thread of its own, since hashing takes time. */
import { move, transferableSymbol, valueSymbol } from "piscina";
import { inTime } from "../backends/deadline.ts";
import { startThread } from "../backends/pool.ts";
import type { CacheAnswers, CacheTask, ImageBytes } from "../backends/protocol.ts";

export interface DigesterOptions {
  /** The module whose `handle` hashes. */
  readonly filename: string;
  /** Most bytes of an image that is hashed at once. */
  readonly maxInlineBytes: number;
  /** ms; an image that is hashed for longer is given up. */
  readonly timeoutMs: number;
  /** ms after which a thread without an image ends. */
  readonly idleMs: number;
}

/** An image whose digest is known. */
export type DigestedImage = ImageBytes & { readonly sha256: string };

export interface Digester {
  /**
   * Hashes an image.
   *
   * @param image given away: `memory` bytes come back in the result.
   * @throws Error where the file cannot be read, or the thread dies; DeadlineError.
   */
  digest(image: ImageBytes): Promise<DigestedImage>;
  /** Ends the thread. */
  close(): Promise<void>;
}

/** Makes the digester. What waits is bounded by whoever calls it: requests in the house are. */
export function createDigester(options: DigesterOptions): Digester {
  const { filename, maxInlineBytes, timeoutMs, idleMs } = options;
  const thread = startThread(filename, idleMs);

  async function digestInThread(image: ImageBytes): Promise<DigestedImage> {
    const task: CacheTask = { kind: "digest", image };
    const buffers = image.kind === "memory" ? [image.bytes.buffer] : [];
    const moved = move({ [transferableSymbol]: buffers, [valueSymbol]: task });
    const hashing: Promise<CacheAnswers["digest"]> = thread.run(moved);
    const answer = await inTime(hashing, timeoutMs, "an image was not hashed in time");
    if ("fault" in answer) throw new Error(`an image cannot be hashed: ${answer.fault}`);
    return answer;
  }

  return {
    digest: async (image) => {
      if (image.kind === "file" || image.bytes.length > maxInlineBytes) {
        return await digestInThread(image);
      }
      return { ...image, sha256: new Bun.CryptoHasher("sha256").update(image.bytes).digest("hex") };
    },
    close: async () => await thread.destroy(),
  };
}
