/** Clients that never pause, and count what fails. They speak HTTP by hand: `fetch` would retry behind our back. */
import { connect, type Socket } from "node:net";
import { headOf } from "./raw-client.ts";

/** What came of all requests. */
export interface Tally {
  readonly answered: number;
  /** Connections that were opened. */
  readonly connections: number;
  /** One sentence for each request without a 200. */
  readonly failures: readonly string[];
}

export interface StreamOfRequests extends AsyncDisposable {
  /** How many were answered so far. */
  answered(): number;
  /** Lets every client finish its request. */
  stop(): Promise<Tally>;
}

/** One client: what it asks, and whether it keeps its connection until the server says `Connection: close`. */
export interface StreamClient {
  readonly request: (id: string) => Uint8Array;
  readonly keepsConnection: boolean;
}

/** @param id comes back as the log's `request_id`. */
export function getRequest(path: string): (id: string) => Uint8Array {
  return (id) =>
    Buffer.from(`GET ${path} HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: ${id}\r\n\r\n`);
}

/** An upload of a picture. */
export function uploadRequest(path: string, picture: Uint8Array): (id: string) => Uint8Array {
  const body = Buffer.concat([
    Buffer.from(
      '--edge\r\nContent-Disposition: form-data; name="file"; filename="picture.png"\r\n\r\n',
    ),
    picture,
    Buffer.from("\r\n--edge--\r\n"),
  ]);
  return (id) => {
    const head = headOf(path, {
      "X-Request-Id": id,
      "Content-Type": "multipart/form-data; boundary=edge",
      "Content-Length": body.length,
    });
    return Buffer.concat([Buffer.from(head), body]);
  };
}

/** Starts the clients, each with one request under way at a time. */
export function streamRequests(url: URL, clients: readonly StreamClient[]): StreamOfRequests {
  let isStopping = false;
  let answered = 0;
  let connections = 0;
  const failures: string[] = [];

  async function run({ request, keepsConnection }: StreamClient, client: number): Promise<void> {
    let connection: Connection | undefined;
    for (let number = 1; !isStopping; number += 1) {
      if (connection === undefined || connection.isClosed()) {
        connection = openConnection(url);
        connections += 1;
      }
      const id = `stream-${client}-${number}`;
      try {
        const head = await connection.exchange(request(id));
        if (/^HTTP\/1\.1 200 /.test(head)) answered += 1;
        else failures.push(`${id}: ${head}`);
        if (keepsConnection && !/^connection: close\r?$/im.test(head)) continue;
      } catch (error) {
        failures.push(`${id}: ${error}`);
      }
      connection.end();
      connection = undefined;
    }
    connection?.end();
  }

  const running = Promise.all(clients.map(run));
  const stop = async () => {
    isStopping = true;
    await running;
    return { answered, connections, failures };
  };
  return {
    answered: () => answered,
    stop,
    async [Symbol.asyncDispose]() {
      await stop();
    },
  };
}

interface Connection {
  /** Sends a request. Resolves with the head of its answer, once all of it is there. */
  exchange(request: Uint8Array): Promise<string>;
  /** Whether the server has closed it. */
  isClosed(): boolean;
  end(): void;
}

function openConnection(url: URL): Connection {
  const socket: Socket = connect(Number(url.port), url.hostname);
  let isClosed = false;
  let got = "";
  let waiting: PromiseWithResolvers<string> | undefined;
  const finish = (why: string) => {
    isClosed = true;
    waiting?.reject(new Error(`${why} after ${got.length} bytes of the answer`));
  };
  socket.on("error", (error) => finish(error.message));
  socket.on("end", () => finish("closed"));
  socket.on("close", () => finish("closed"));
  socket.on("data", (chunk) => {
    got += chunk.toString("latin1");
    const [head = "", ...body] = got.split("\r\n\r\n");
    const length = Number(/^content-length: (\d+)/im.exec(head)?.[1] ?? Number.NaN);
    if (body.join("\r\n\r\n").length === length) waiting?.resolve(head);
  });
  return {
    exchange: (request) => {
      waiting = Promise.withResolvers<string>();
      got = "";
      socket.write(request);
      return waiting.promise;
    },
    isClosed: () => isClosed,
    end: () => socket.destroy(),
  };
}
