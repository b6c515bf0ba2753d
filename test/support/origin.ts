/** A web server on a loopback address that serves images, and misbehaves in every way that we know. */
import { createServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import { gzipSync } from "node:zlib";
import type { Certificate } from "./certificate.ts";

/** What a client sent. */
interface OriginRequest {
  readonly path: string;
  /** Names in lower case. */
  readonly headers: ReadonlyMap<string, string>;
}

/** What the server does on a connection that has sent its request. */
export type Answer = (connection: Socket) => void;

export interface Origin extends AsyncDisposable {
  readonly port: number;
  /** Every request so far, in order. */
  readonly requests: readonly OriginRequest[];
  /** Connections so far, whether or not they asked for something. */
  connections(): number;
  /** Connections that are open now. */
  openConnections(): number;
  /** URL of a path under the server's own address. */
  url(path: string): string;
  /** Resolves once at least one connection has been made and none is open. */
  allClosed(): Promise<void>;
}

interface OriginOptions {
  /** Address to listen on; 127.0.0.1 unless told. */
  readonly hostname?: string;
  /** A free port unless told. */
  readonly port?: number;
  /** Makes it an HTTPS server. */
  readonly certificate?: Certificate;
}

/** Starts a server that has an answer for every path given; other paths are a 404. */
export async function startOrigin(
  answers: Readonly<Record<string, Answer>>,
  options: OriginOptions = {},
): Promise<Origin> {
  const { hostname = "127.0.0.1", certificate } = options;
  const requests: OriginRequest[] = [];
  const open = new Set<Socket>();
  let connections = 0;
  let allClosed = Promise.withResolvers<void>();
  const accept = (connection: Socket): void => {
    if (open.size === 0) allClosed = Promise.withResolvers<void>();
    const { resolve } = allClosed;
    open.add(connection);
    connections += 1;
    connection.on("error", () => connection.destroy());
    connection.on("close", () => {
      open.delete(connection);
      if (open.size === 0) resolve();
    });
    let head = "";
    connection.on("data", (chunk) => {
      // A TLS greeting on a plain port gets what web servers say to it.
      if (chunk[0] === 0x16) return respond({ status: 400 })(connection);
      head += chunk.toString("latin1");
      if (!head.includes("\r\n\r\n")) return;
      const request = parseHead(head);
      head = "";
      requests.push(request);
      (answers[request.path] ?? respond({ status: 404 }))(connection);
    });
  };
  const server = certificate ? createTlsServer(certificate, accept) : createServer(accept);
  const port = await listen(server, hostname, options.port ?? 0);
  const host = hostname.includes(":") ? `[${hostname}]` : hostname;
  return {
    port,
    requests,
    url: (path) => `${certificate ? "https" : "http"}://${host}:${port}${path}`,
    connections: () => connections,
    openConnections: () => open.size,
    allClosed: () => allClosed.promise,
    async [Symbol.asyncDispose]() {
      for (const connection of open) connection.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function listen(server: Server, hostname: string, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, hostname, () => {
      const address = server.address();
      if (address === null || typeof address === "string") reject(new Error("not a TCP server"));
      else resolve(address.port);
    });
  });
}

function parseHead(head: string): OriginRequest {
  const [requestLine = "", ...lines] = (head.split("\r\n\r\n")[0] ?? "").split("\r\n");
  const headers = new Map<string, string>();
  for (const line of lines) {
    const colon = line.indexOf(":");
    headers.set(line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim());
  }
  return { path: requestLine.split(" ")[1] ?? "", headers };
}

/** Answers as a good server does, or with headers that are not true. */
export function respond(
  options: {
    readonly status?: number;
    readonly headers?: Readonly<Record<string, string | number>>;
    readonly body?: Uint8Array | string;
  } = {},
): Answer {
  const { status = 200, headers = {}, body = "" } = options;
  const all = { "Content-Length": Buffer.byteLength(body), ...headers };
  return (connection) => {
    connection.write(headOf(status, all));
    connection.write(body);
  };
}

export function redirect(location: string, status = 302): Answer {
  return respond({ status, headers: { Location: location } });
}

/** Takes the request and says nothing. */
export const staySilent: Answer = () => {};

/** Sends one header line after another, slowly, for ever. */
export const dripHeaders: Answer = (connection) => {
  connection.write("HTTP/1.1 200 OK\r\n");
  repeat(connection, "X-More: to come\r\n");
};

/** Sends one byte of body after another, slowly, for ever. */
export const dripBody: Answer = (connection) => {
  connection.write(headOf(200, {}));
  repeat(connection, "x");
};

/** Sends body as fast as it is taken, for ever, without a Content-Length. */
export const sendForever: Answer = (connection) => {
  const block = Buffer.alloc(64 * 1024, "x");
  const fill = (): void => {
    while (!connection.destroyed && connection.write(block));
  };
  connection.write(headOf(200, {}));
  connection.on("drain", fill);
  fill();
};

/** Promises more bytes than it sends before it closes. */
export const closeMidBody: Answer = (connection) => {
  connection.end(`${headOf(200, { "Content-Length": 1000 })}only these`);
};

/** Promises more bytes than it sends before it resets the connection. */
export const resetMidBody: Answer = (connection) => {
  connection.write(`${headOf(200, { "Content-Length": 1000 })}only these`, () =>
    connection.resetAndDestroy(),
  );
};

export const resetAtOnce: Answer = (connection) => {
  connection.resetAndDestroy();
};

/** Speaks something else than HTTP. */
export const speakSsh: Answer = (connection) => {
  connection.end("SSH-2.0-OpenSSH_9.2\r\n");
};

/** Sends zeros, compressed a thousand times. */
export function gzipBomb(bytes: number): Answer {
  const body = gzipSync(new Uint8Array(bytes));
  return respond({ headers: { "Content-Encoding": "gzip" }, body });
}

function headOf(status: number, headers: Readonly<Record<string, string | number>>): string {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  return `HTTP/1.1 ${status} Test\r\n${lines.join("")}\r\n`;
}

function repeat(connection: Socket, text: string): void {
  const timer = setInterval(() => connection.write(text), 5);
  connection.on("close", () => clearInterval(timer));
}
