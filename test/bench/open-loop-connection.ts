/** One connection that is kept, on which one request at a time is sent: HTTP by hand, for as little work as can be. */
import type { Socket } from "bun";

/** An answer, as far as it matters here. */
export interface Answer {
  readonly status: number;
  /** Its `Server-Timing`; empty where it has none. */
  readonly serverTiming: string;
  /** `total` of it, in ms. */
  readonly serverMs: number;
  /** Head and body, of one that is not a 200. */
  readonly refusal: string | undefined;
  /** Of head and body. */
  readonly bytes: number;
}

export interface Connection {
  /**
   * Sends a whole request, and waits for the whole answer.
   *
   * @throws Error when the connection ends before the answer does.
   */
  exchange(request: Uint8Array): Promise<Answer>;
  /** Whether it can take another request. */
  isOpen(): boolean;
  close(): void;
}

/** @throws Error when nobody listens there. */
export async function openConnection({ hostname, port }: URL): Promise<Connection> {
  let pending: PromiseWithResolvers<Answer> | undefined;
  let receiver = createReceiver();
  let unsent: Uint8Array = new Uint8Array();
  let isOpen = true;

  const flush = (socket: Socket) => {
    if (unsent.length > 0) unsent = unsent.subarray(socket.write(unsent));
  };
  const end = (why: string) => {
    isOpen = false;
    pending?.reject(new Error(why));
    pending = undefined;
  };
  const socket = await Bun.connect({
    hostname,
    port: Number(port),
    socket: {
      data: (_socket, chunk) => {
        const received = receiver.add(chunk);
        if (received === undefined) return;
        receiver = createReceiver();
        isOpen = !received.isLast;
        pending?.resolve(received.answer);
        pending = undefined;
        if (received.isLast) socket.end();
      },
      drain: flush,
      end: () => end("the server closed the connection"),
      close: () => end("the connection was closed"),
      error: (_socket, error) => end(error.message),
    },
  });
  return {
    exchange: (request) => {
      pending = Promise.withResolvers<Answer>();
      const { promise } = pending;
      unsent = request;
      flush(socket);
      return promise;
    },
    isOpen: () => isOpen,
    close: () => {
      isOpen = false;
      socket.end();
    },
  };
}

/** A whole answer, and whether the connection ends with it. */
interface Received {
  readonly answer: Answer;
  readonly isLast: boolean;
}

/** Puts one answer together: its head is read once, and of its body the bytes are only counted where it tells how many. */
function createReceiver() {
  const chunks: Buffer[] = [];
  let bytes = 0;
  let head = "";
  return {
    /** @returns the answer, once all of it is there (RFC 9112, section 6). */
    add: (chunk: Uint8Array): Received | undefined => {
      chunks.push(Buffer.from(chunk));
      bytes += chunk.length;
      if (head === "") head = headOf(chunks);
      if (head === "") return undefined;
      const length = /^content-length: (\d+)\r$/im.exec(head)?.[1];
      const isWhole =
        length === undefined
          ? textOf(chunks).endsWith("\r\n0\r\n\r\n")
          : bytes >= head.length + Number(length);
      return isWhole ? toReceived(head, chunks, bytes) : undefined;
    },
  };
}

/** Status line and headers, with the empty line after them; empty while they are not all there. */
function headOf(chunks: readonly Buffer[]): string {
  const [only] = chunks;
  const all = chunks.length === 1 && only !== undefined ? only : Buffer.concat(chunks);
  const end = all.indexOf("\r\n\r\n");
  return end === -1 ? "" : all.toString("latin1", 0, end + 4);
}

function textOf(chunks: readonly Buffer[]): string {
  return Buffer.concat(chunks).toString("latin1");
}

function toReceived(head: string, chunks: readonly Buffer[], bytes: number): Received {
  const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(head)?.[1]);
  const serverTiming = /^server-timing: (.*)\r$/im.exec(head)?.[1] ?? "";
  const serverMs = Number(/\btotal;dur=([\d.]+)/.exec(serverTiming)?.[1]);
  const refusal = status === 200 ? undefined : textOf(chunks);
  const isLast = /^connection: close/im.test(head);
  return { answer: { status, serverTiming, serverMs, bytes, refusal }, isLast };
}
