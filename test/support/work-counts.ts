/** Counts what is done with the bytes of images, in this thread and in the workers that say so. */

/** Something that was done. Bytes are those of one image or more, or of a piece of one. */
export type Work =
  | { readonly kind: "hashed" | "copied" | "moved"; readonly bytes: number }
  | { readonly kind: "header" | "pixels" | "inference" }
  | { readonly kind: "written"; readonly vectors: number };

/** Whatever is smaller is no image here: a vector, a key, a name. */
export const leastImageBytes = 32 * 1024;

const channelName = "work-counts";

/** Watches the hashing and the messages of this thread. @returns what ends it. */
export function watchThread(tell: (work: Work) => void): () => void {
  const { CryptoHasher } = Bun;
  const { postMessage } = MessagePort.prototype;
  class CountingHasher extends CryptoHasher {
    override update(...given: Parameters<Bun.CryptoHasher["update"]>): this {
      const [input] = given;
      if (input instanceof Uint8Array && input.length >= leastImageBytes) {
        tell({ kind: "hashed", bytes: input.length });
      }
      super.update(...given);
      return this;
    }
  }
  const watched = function (this: MessagePort, message: unknown, list?: unknown): void {
    const moved = new Set(Array.isArray(list) ? list : []);
    for (const image of imagesIn(message)) {
      const buffer = image instanceof ArrayBuffer ? image : image.buffer;
      tell({ kind: moved.has(buffer) ? "moved" : "copied", bytes: image.byteLength });
    }
    Reflect.apply(postMessage, this, list === undefined ? [message] : [message, list]);
  };
  Object.assign(Bun, { CryptoHasher: CountingHasher });
  Object.assign(MessagePort.prototype, { postMessage: watched });
  return () => {
    Object.assign(Bun, { CryptoHasher });
    Object.assign(MessagePort.prototype, { postMessage });
  };
}

/** The buffers of a message, at any depth, and the views of such, that may be images or bodies. */
function imagesIn(message: unknown): readonly (Uint8Array | ArrayBuffer)[] {
  if (message instanceof Uint8Array || message instanceof ArrayBuffer) {
    return message.byteLength >= leastImageBytes ? [message] : [];
  }
  if (typeof message !== "object" || message === null) return [];
  return Object.values(message).flatMap(imagesIn);
}

/** Tells the thread of the test what was done in this one. */
export function tellOfWork(): (work: Work) => void {
  const channel = new BroadcastChannel(channelName);
  return (work) => channel.postMessage(work);
}

/** What was done so far, in all threads. */
export interface WorkCounts extends Disposable {
  /** Sum of bytes. */
  bytes(kind: "hashed" | "copied" | "moved"): number;
  /** How often. */
  times(kind: "header" | "pixels" | "inference"): number;
  /** Vectors that were written. */
  vectors(): number;
  /** Begins anew. */
  reset(): void;
}

/** Counts the work of this thread and of those that tell of theirs. */
export function countWork(): WorkCounts {
  const channel = new BroadcastChannel(channelName);
  const done: Work[] = [];
  channel.onmessage = ({ data }: { readonly data: Work }) => done.push(data);
  const end = watchThread((work) => done.push(work));
  return {
    bytes: (kind) => done.reduce((sum, one) => sum + (one.kind === kind ? one.bytes : 0), 0),
    times: (kind) => done.filter((one) => one.kind === kind).length,
    vectors: () => done.reduce((sum, one) => sum + (one.kind === "written" ? one.vectors : 0), 0),
    reset: () => {
      done.length = 0;
    },
    [Symbol.dispose]: () => {
      end();
      channel.close();
    },
  };
}
