import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createApiKey, withApiKey } from "../../src/store/api-keys.ts";
import type { Bytes } from "../support/pictures.ts";
import { createPhotos } from "./photo.ts";
import { findingRow, findingsHead } from "./report.ts";
import { type Server, startService } from "./server.ts";
import { median, withRange, withTail } from "./statistics.ts";
import { multipartType, uploadBody } from "./upload.ts";

const clientCount = 32;
const rounds = 5;
const roundMs = 3_000;
const repeats = 400;

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
    yield* lookUps(service, headers, Bun.SHA256.hash(photo, "hex"));
    yield* repeatedUploads(service, headers, photo);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

type Headers = Readonly<Record<string, string>>;

async function* lookUps(service: Server, headers: Headers, sha256: string): AsyncGenerator<string> {
  const known = new URL(`/embeddings/${sha256}`, service.url);
  const alive = new URL("/livez", service.url);
  // One round of each warms up.
  const [ofKnown, ofAlive]: [number[], number[]] = [[], []];
  for (let round = 0; round <= rounds; round += 1) {
    ofKnown.push(await answersPerS(known, headers));
    ofAlive.push(await answersPerS(alive, headers));
  }
  const [vectors, lives] = [ofKnown.slice(1), ofAlive.slice(1)];
  const ratios = vectors.map((perS, round) => perS / (lives[round] ?? Number.NaN));
  yield `${clientCount} clients, ${rounds} rounds of ${roundMs / 1000} s of each in turn, answers/s`;
  yield* findingsHead;
  yield findingRow({
    what: `\`GET /embeddings/{sha256}\` of a known vector, ${clientCount} clients, answers/s`,
    measured: withRange(vectors, 0),
    reference: `\`GET /livez\`: ${withRange(lives, 0)}`,
    compared: withRange(ratios, 2),
    wanted: "at least 0.3",
    isMet: median(ratios) >= 0.3,
  });
}

/** How many requests are answered in a second, each client sending its next as soon as it has its answer. */
async function answersPerS(url: URL, headers: Headers): Promise<number> {
  const startedAt = performance.now();
  let answers = 0;
  const client = async () => {
    while (performance.now() < startedAt + roundMs) {
      const response = await fetch(url, { headers });
      await response.arrayBuffer();
      if (!response.ok) throw new Error(`${url.pathname} answered ${response.status}`);
      answers += 1;
    }
  };
  await Promise.all(Array.from({ length: clientCount }, client));
  return (answers * 1000) / (performance.now() - startedAt);
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
