import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createApiKey, withApiKey } from "../../src/store/api-keys.ts";
import {
  embeddingDatabasePath,
  openToRead,
  openToWrite,
} from "../../src/store/embedding-database.ts";
import { createFind, writeEmbeddings } from "../../src/store/embedding-rows.ts";
import { ascii, type Bytes } from "../support/pictures.ts";
import { type Connection, openConnection } from "./open-loop-connection.ts";
import { createPhotos } from "./photo.ts";
import { findingRow, findingsHead } from "./report.ts";
import { type Server, startService } from "./server.ts";
import { median, ratios, withRange, withTail } from "./statistics.ts";
import { multipartType, uploadBody } from "./upload.ts";

const clientCount = 32;
const rounds = 5;
const roundMs = 3_000;
const repeats = 400;
/** Vectors in the cache: more than are remembered as they were written. */
const vectorCount = 20_000;
/** So many of them are remembered. */
const rememberedCount = 4_000;

/** How much a vector that is known costs: asked for by its digest, and by the same upload again. */
export async function* cache(): AsyncGenerator<string> {
  const folder = await mkdtemp(join(tmpdir(), "imagesvc-bench-cache-"));
  const { key, entry } = createApiKey("bench", new Date());
  const keysFile = join(folder, "api-keys");
  await Bun.write(keysFile, withApiKey("", entry));
  const settings = { API_KEYS_FILE: keysFile, CACHE_DIR: folder };
  const headers = { Authorization: `Bearer ${key}` };
  try {
    await using service = await startService("synthetic", settings);
    const photo = (await createPhotos())();
    await postPhoto(service, headers, photo);
    const sha256 = Bun.SHA256.hash(photo, "hex");
    const others = await addVectors(embeddingDatabasePath(folder), sha256);
    const { url } = service;
    yield `${clientCount} clients, ${rounds} rounds of ${roundMs / 1000} s of each in turn, answers/s`;
    yield* findingsHead;
    const one = [new URL(`/embeddings/${sha256}`, url)];
    yield* lookUps("one vector", service, headers, one);
    const all = others.map((other) => new URL(`/embeddings/${other}`, url));
    const some = all.slice(0, rememberedCount);
    yield* lookUps(`${some.length} vectors in turn`, service, headers, some);
    yield* lookUps(`${all.length} in turn, each written anew`, service, headers, all);
    yield* repeatedUploads(service, headers, photo);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

type Headers = Readonly<Record<string, string>>;

/** Puts vectors of other images beside one that is in the cache. @returns the images' digests. */
async function addVectors(path: string, sha256: string): Promise<readonly string[]> {
  const { known, fingerprint } = await untilWritten(path, sha256);
  const { facts, model, vector } = known;
  const embeddings = Array.from({ length: vectorCount }, (_, index) => ({
    facts: { ...facts, sha256: Bun.SHA256.hash(String(index), "hex") },
    fingerprint,
    model,
    vector: vector.map((number) => number * (1 + (index + 1) / vectorCount)),
  }));
  const database = openToWrite(path, { maxBytes: 2 ** 30, busyTimeoutMs: 5_000 });
  writeEmbeddings(database, { embeddings, used: [], nowHour: Math.floor(Date.now() / 3_600_000) });
  database.close();
  return embeddings.map(({ facts: { sha256 } }) => sha256);
}

/** The vector of an image that was just embedded: it is written a little later. @throws Error after 5 s. */
async function untilWritten(path: string, sha256: string) {
  for (let tries = 0; tries < 50; tries += 1) {
    const reader = openToRead(path);
    const [{ fingerprint } = { fingerprint: "" }] = reader
      .query<{ fingerprint: string }, []>("SELECT fingerprint FROM makers")
      .all();
    const known = createFind(reader)(sha256, fingerprint);
    reader.close();
    if (known !== undefined) return { known, fingerprint };
    await Bun.sleep(100);
  }
  throw new Error("the vector of the photo is not in the cache");
}

async function* lookUps(
  what: string,
  service: Server,
  headers: Headers,
  known: readonly URL[],
): AsyncGenerator<string> {
  const vectorRequests = known.map((url) => getRequest(url, headers));
  const liveRequests = [getRequest(new URL("/livez", service.url), headers)];
  // One round of each warms up.
  const [ofKnown, ofAlive]: [number[], number[]] = [[], []];
  for (let round = 0; round <= rounds; round += 1) {
    ofKnown.push(await answersPerS(vectorRequests, service.url));
    ofAlive.push(await answersPerS(liveRequests, service.url));
  }
  const [vectors, lives] = [ofKnown.slice(1), ofAlive.slice(1)];
  const compared = ratios(vectors, lives);
  yield findingRow({
    what: `\`GET /embeddings/{sha256}\`, ${what}, ${clientCount} clients, answers/s`,
    measured: withRange(vectors, 0),
    reference: `\`GET /livez\`: ${withRange(lives, 0)}`,
    compared: withRange(compared, 2),
    wanted: "at least 0.3",
    isMet: median(compared) >= 0.3,
  });
}

/** How many requests are answered in a second, each client sending its next as soon as it has its answer. */
async function answersPerS(requests: readonly Uint8Array[], origin: URL): Promise<number> {
  const connections = await Promise.all(
    Array.from({ length: clientCount }, () => openConnection(origin)),
  );
  const startedAt = performance.now();
  let answers = 0;
  let next = 0;
  const client = async (connection: Connection) => {
    while (performance.now() < startedAt + roundMs) {
      const { refusal } = await connection.exchange(requests[next % requests.length] ?? none);
      if (refusal !== undefined) throw new Error(`the service answered ${refusal}`);
      next += 1;
      answers += 1;
    }
    connection.close();
  };
  await Promise.all(connections.map(client));
  return (answers * 1000) / (performance.now() - startedAt);
}

const none = new Uint8Array();

/** A request as browsers and Bun's fetch send it: they take compressed answers. */
function getRequest(url: URL, headers: Headers): Uint8Array {
  const all = { Host: url.host, ...headers, "Accept-Encoding": "gzip, deflate, br, zstd" };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}`);
  return ascii(`GET ${url.pathname} HTTP/1.1\r\n${lines.join("\r\n")}\r\n\r\n`);
}

async function* repeatedUploads(
  service: Server,
  headers: Headers,
  photo: Bytes,
): AsyncGenerator<string> {
  const totalsMs: number[] = [];
  let hits = 0;
  for (let repeat = 0; repeat < repeats; repeat += 1) {
    const answer = await postPhoto(service, headers, photo);
    if (answer.headers.get("x-cache") === "hit") hits += 1;
    const timing = answer.headers.get("server-timing") ?? "";
    totalsMs.push(Number(/total;dur=([\d.]+)/.exec(timing)?.[1]));
  }
  if (hits !== repeats) throw new Error(`only ${hits} of ${repeats} uploads were known`);
  yield `the same upload of ${photo.length} bytes, ${repeats} times, one after the other: ms of server time`;
  yield* findingsHead;
  yield findingRow({
    what: `the same upload of ${photo.length >> 10} KiB again, ms of server time`,
    measured: withTail(totalsMs, 1),
    reference: "every answer was X-Cache: hit",
    wanted: "p50 under 2",
    isMet: median(totalsMs) < 2,
  });
}

async function postPhoto(service: Server, headers: Headers, photo: Bytes): Promise<Response> {
  const url = new URL("/vectorize-image-upload?model=clip-ViT-B-32", service.url);
  const typed = { ...headers, "Content-Type": multipartType };
  const response = await fetch(url, { method: "POST", headers: typed, body: uploadBody(photo) });
  await response.arrayBuffer();
  if (!response.ok) throw new Error(`an upload was answered ${response.status}`);
  return response;
}
