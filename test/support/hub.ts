/** A Hugging Face hub on loopback, with a file host of another origin behind it; both can misbehave. */
import { createHash } from "node:crypto";
import { createServer } from "node:http";
import { createServer as createSocketServer, type Server, type Socket } from "node:net";
import type { WeightsSource } from "../../src/models/catalog.ts";

/** What the hub or its file host saw. */
export interface HubRequest {
  readonly host: "hub" | "files";
  readonly path: string;
  readonly range: string | undefined;
  readonly authorization: string | undefined;
}

/** How the file host answers one request; what is left out is done right. */
export interface FileMood {
  /** Answers with this status and nothing else. */
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sends so many bytes and then cuts the connection. */
  readonly cutAfter?: number;
  /** Sends so many bytes and then nothing more. */
  readonly stallAfter?: number;
  /** Sends so many bytes, and the rest once it is told to. */
  readonly pause?: { readonly after: number; readonly until: Promise<void> };
  /** Sends the whole file whatever range is asked for. */
  readonly ignoresRange?: boolean;
  /** Claims another range than it sends. */
  readonly liesAboutRange?: boolean;
  /** Sends these bytes in the file's place. */
  readonly instead?: Uint8Array;
}

export interface FakeHub extends AsyncDisposable {
  readonly endpoint: string;
  readonly file: WeightsSource;
  readonly requests: readonly HubRequest[];
  /** Moods of the next requests for bytes, in order; after them everything is done right. */
  readonly moods: FileMood[];
  /** What the hub itself answers, where it does not redirect. */
  refusal:
    | { readonly status: number; readonly headers?: Readonly<Record<string, string>> }
    | undefined;
  /** The `X-Linked-Etag` that the hub gives, without quotes. */
  linkedSha256: string;
}

/**
 * Starts a hub that has one file.
 *
 * @param source under which name, and what the hub says it is; one that fits the bytes unless told.
 */
export async function startHub(bytes: Uint8Array, source?: WeightsSource): Promise<FakeHub> {
  const requests: HubRequest[] = [];
  const moods: FileMood[] = [];
  const file = source ?? {
    repository: "somebody/a-model",
    revision: "0123456789abcdef0123456789abcdef01234567",
    path: "0_CLIPModel/model.safetensors",
    bytes: bytes.byteLength,
    sha256: createHash("sha256").update(bytes).digest("hex"),
  };
  const { sha256 } = file;
  const open = new Set<Socket>();
  // Raw sockets: a server that speaks HTTP by itself does not cut and fall silent when it is told.
  const files = createSocketServer((connection) => {
    open.add(connection);
    connection.on("error", () => connection.destroy());
    connection.on("close", () => open.delete(connection));
    connection.on("data", (head) => {
      const request = parseHead(head.toString("latin1"));
      requests.push({ host: "files", ...request });
      sendFile(bytes, request.range, moods.shift() ?? {}, connection);
    });
  });
  const filesAt = await listen(files);
  const hub = createServer((request, response) => {
    const { range, authorization } = request.headers;
    requests.push({ host: "hub", path: request.url ?? "", range, authorization });
    if (own.refusal !== undefined) {
      response.writeHead(own.refusal.status, own.refusal.headers).end();
      return;
    }
    if (request.url !== `/${file.repository}/resolve/${file.revision}/${file.path}`) {
      response.writeHead(404).end();
      return;
    }
    response.writeHead(302, {
      location: `${filesAt}/blob/${sha256}?signature=secret`,
      "x-repo-commit": file.revision,
      "x-linked-etag": `"${own.linkedSha256}"`,
      "x-linked-size": String(file.bytes),
    });
    response.end();
  });
  const own: FakeHub = {
    endpoint: await listen(hub),
    file,
    requests,
    moods,
    refusal: undefined,
    linkedSha256: sha256,
    async [Symbol.asyncDispose]() {
      for (const connection of open) connection.destroy();
      hub.closeAllConnections();
      for (const server of [hub, files]) await new Promise((resolve) => server.close(resolve));
    },
  };
  return own;
}

function parseHead(head: string) {
  const header = (name: string) => new RegExp(`^${name}: *(.+?)\\r?$`, "im").exec(head)?.[1];
  return {
    path: head.split(" ", 2)[1] ?? "",
    range: header("range"),
    authorization: header("authorization"),
  };
}

/** Answers a request for bytes in the mood that is given. */
function sendFile(
  whole: Uint8Array,
  range: string | undefined,
  mood: FileMood,
  connection: Socket,
): void {
  const bytes = mood.instead ?? whole;
  const asked = mood.ignoresRange ? 0 : Number(/^bytes=(\d+)-$/.exec(range ?? "")?.[1] ?? 0);
  const status = mood.status ?? statusOf(asked, bytes.byteLength);
  const body = status === 200 || status === 206 ? bytes.subarray(asked) : new Uint8Array();
  const headers = {
    "content-length": String(body.byteLength),
    ...rangeHeader(status, mood.liesAboutRange ? asked + 1 : asked, bytes.byteLength),
    ...mood.headers,
  };
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  connection.write(`HTTP/1.1 ${status} X\r\n${lines.join("")}\r\n`);
  const { pause } = mood;
  connection.write(body.subarray(0, pause?.after ?? mood.cutAfter ?? mood.stallAfter));
  void pause?.until.then(() => connection.write(body.subarray(pause.after)));
  // A reset right behind the bytes would take some of them with it.
  if (mood.cutAfter !== undefined) setTimeout(() => connection.destroy(), 30);
}

function statusOf(asked: number, length: number): number {
  if (asked >= length) return 416;
  return asked > 0 ? 206 : 200;
}

function rangeHeader(status: number, first: number, length: number): Record<string, string> {
  return status === 206 ? { "content-range": `bytes ${first}-${length - 1}/${length}` } : {};
}

async function listen(server: Server): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no address");
  return `http://127.0.0.1:${address.port}`;
}
