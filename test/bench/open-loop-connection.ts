/** One connection that is kept, on which one request at a time is sent: HTTP by hand, for as little work as can be. */
import type { Socket } from "bun";

/** An answer, as far as it matters here. */
export interface Answer {
  readonly status: number;
  /** `total` of its `Server-Timing`, in ms. */
  readonly serverMs: number;
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
  let received: Buffer[] = [];
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
        received.push(Buffer.from(chunk));
        const text = Buffer.concat(received).toString("latin1");
        if (!isWhole(text)) return;
        received = [];
        const isLast = /^connection: close/im.test(text);
        isOpen = !isLast;
        pending?.resolve(toAnswer(text));
        pending = undefined;
        if (isLast) socket.end();
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

/** Whether all of an answer is there, by its length or its last chunk (RFC 9112, section 6). */
function isWhole(text: string): boolean {
  const headEnd = text.indexOf("\r\n\r\n");
  if (headEnd === -1) return false;
  const length = /^content-length: (\d+)\r$/im.exec(text)?.[1];
  if (length === undefined) return text.endsWith("\r\n0\r\n\r\n");
  return text.length >= headEnd + 4 + Number(length);
}

function toAnswer(text: string): Answer {
  const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(text)?.[1]);
  const serverMs = Number(/^server-timing:.*\btotal;dur=([\d.]+)/im.exec(text)?.[1]);
  return { status, serverMs, bytes: text.length };
}
