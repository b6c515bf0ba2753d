/** How often the work on one image is done: once, whoever brings it. Counts, where a clock would guess. */
import { afterAll, beforeAll, beforeEach, expect, test } from "bun:test";
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { limits } from "../../src/limits.ts";
import { answerOf, base64Of, postFile, postJson, until } from "../support/client.ts";
import { type Bytes, makeJpeg, makePng } from "../support/pictures.ts";
import { startService, type TestService } from "../support/service.ts";
import { countWork, leastImageBytes, type WorkCounts } from "../support/work-counts.ts";

const clip = "?model=clip-ViT-B-32";
const inference = fileURLToPath(new URL("../support/counting-inference.ts", import.meta.url));
const cache = fileURLToPath(new URL("../support/counting-cache.ts", import.meta.url));
const json = fileURLToPath(new URL("../support/counting-json.ts", import.meta.url));

let counts: WorkCounts;
let service: TestService;
let made = 0;

beforeAll(async () => {
  counts = countWork();
  service = await startService(
    { CACHE_MAX_BYTES: String(16 * 1024 * 1024) },
    { inference, cache, json },
  );
});

beforeEach(() => counts.reset());

afterAll(async () => {
  await service.stop();
  counts[Symbol.dispose]();
});

/** A picture that no other test has sent: noise does not compress, so its size is known. */
function makeImage(side: number): Promise<Bytes> {
  made += 1;
  return makePng({ width: side, height: side, kind: "noise", seed: made });
}

/** The same as a JPEG of one scan. */
function makePlainJpeg(side: number): Promise<Bytes> {
  made += 1;
  return makeJpeg({ width: side, height: side, kind: "noise", seed: made });
}

const upload = (image: Bytes) => postFile(service, image, { query: clip });
const bodyOf = (image: Bytes) => JSON.stringify({ image_base64: base64Of(image) });
const base64 = (image: Bytes) => postJson(service, `/vectorize-image-base64${clip}`, bodyOf(image));

/**
 * `moves`: from one thread to another. The one that infers is there and back, and so is the one that hashes what
 * is large; what parses a large body gives its image alone.
 */
const ways = [
  { what: "a small upload", make: makeImage, side: 120, send: upload, moves: 2 },
  { what: "a small JPEG", make: makePlainJpeg, side: 210, send: upload, moves: 2 },
  {
    what: "a large upload, which goes to disk",
    ...{ make: makeImage, side: 400, send: upload, moves: 0 },
  },
  {
    what: "a large JPEG, which goes to disk",
    ...{ make: makePlainJpeg, side: 700, send: upload, moves: 0 },
  },
  { what: "a small image in base64", make: makeImage, side: 120, send: base64, moves: 2 },
  { what: "a large image in base64", make: makeImage, side: 400, send: base64, moves: 5 },
] as const;

for (const { what, make, side, send, moves } of ways) {
  test(`${what} is hashed once, read once, inferred once, moved between threads and not copied, and remembered once`, async () => {
    const images = [await make(side), await make(side), await make(side)];
    for (const image of images) {
      expect(image.length).toBeGreaterThan(leastImageBytes);
      expect(image.length > limits.maxUploadInMemoryBytes).toBe(side >= 400);
      await answerOf(await send(image));
    }
    const bytes = images.reduce((sum, { length }) => sum + length, 0);
    await until(() => counts.vectors() >= images.length);
    expect(counts.bytes("hashed")).toBe(bytes);
    expect(counts.times("header")).toBe(images.length);
    expect(counts.times("pixels")).toBe(images.length);
    expect(counts.times("inference")).toBe(images.length);
    // Beside the images there is the body that one of the threads parses.
    const bodies = moves === 5 ? images.reduce((sum, one) => sum + bodyOf(one).length, 0) : 0;
    expect(counts.bytes("moved")).toBe(moves * bytes + bodies);
    expect(counts.bytes("copied")).toBe(0);
    expect(counts.vectors()).toBe(images.length);
  });

  test(`${what} that was here before is hashed, and nothing else: no decoding, no inference, no second write`, async () => {
    const image = await make(side);
    const { saved_as, vector } = await answerOf(await send(image));
    await until(() => counts.vectors() === 1);
    const file = join(service.downloadsDir, saved_as);
    const before = await stat(file);
    counts.reset();
    for (let time = 0; time < 3; time += 1) {
      expect((await answerOf(await send(image))).vector).toEqual(vector);
    }
    // Whatever was told of the same image by then comes before what is told of another.
    await answerOf(await send(await make(side)));
    await until(() => counts.vectors() === 1);
    expect(counts.times("header")).toBe(1);
    expect(counts.times("pixels")).toBe(1);
    expect(counts.times("inference")).toBe(1);
    expect(counts.bytes("copied")).toBe(0);
    expect((await stat(file)).ino).toBe(before.ino);
    expect((await readdir(service.downloadsDir)).filter((name) => name === saved_as)).toEqual([
      saved_as,
    ]);
  });

  test(`${what} that eight clients bring at once is decoded once, inferred once and remembered once`, async () => {
    const image = await make(side);
    const answers = await Promise.all(Array.from({ length: 8 }, () => send(image)));
    const vectors = await Promise.all(answers.map(async (one) => (await answerOf(one)).vector));
    for (const vector of vectors) expect(vector).toEqual(vectors[0] ?? []);
    await until(() => counts.vectors() >= 1);
    expect(counts.times("header")).toBe(1);
    expect(counts.times("pixels")).toBe(1);
    expect(counts.times("inference")).toBe(1);
    expect(counts.bytes("copied")).toBe(0);
    expect(counts.vectors()).toBe(1);
  });
}
