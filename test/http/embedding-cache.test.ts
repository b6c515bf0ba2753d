/** What was embedded before: which requests find it, and what a hit does and does not. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { mkdtemp, readdir, readFile, rm, stat, utimes } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { limits } from "../../src/limits.ts";
import {
  answerOf,
  base64Of,
  expectProblem,
  postFile,
  postJson,
  postUrlencoded,
  until,
} from "../support/client.ts";
import { holdNext } from "../support/nv-dinov2-setup.ts";
import { answer, misbehave, type NvidiaFake, startNvidiaFake } from "../support/nvidia-fake.ts";
import { type Origin, respond, startOrigin } from "../support/origin.ts";
import { type Bytes, concat, makeJpeg, makePng, truncate } from "../support/pictures.ts";
import {
  reachingFakes,
  startService,
  type TestService,
  type TestSettings,
} from "../support/service.ts";

const clip = "?model=clip-ViT-B-32";
const dino = "?model=nv-dinov2";

let cacheDir: string;
let nvidia: NvidiaFake;
let origin: Origin;
let service: TestService;
let plainJpeg: Bytes;
let plainPng: Bytes;
/** Bytes that no other test has sent. */
let jpeg: Bytes;
/** The same, and larger than what is hashed on the main thread or stays in memory. */
let largePng: Bytes;
let made = 0;

beforeAll(async () => {
  cacheDir = await mkdtemp(join(tmpdir(), "imagesvc-cache-test-"));
  plainJpeg = await makeJpeg();
  plainPng = await makePng({ width: 512, height: 512, kind: "noise" });
  expect(plainPng.length).toBeGreaterThan(limits.maxHashedOnMainThreadBytes);
  nvidia = startNvidiaFake();
  origin = await startOrigin({
    "/small": (connection) => respond({ body: jpeg })(connection),
    "/large": (connection) => respond({ body: largePng })(connection),
  });
  service = await start();
});

beforeEach(() => {
  made += 1;
  // Decoders do not mind what follows a picture.
  jpeg = concat(plainJpeg, Uint8Array.of(made));
  largePng = concat(plainPng, Uint8Array.of(made));
});

afterAll(async () => {
  await service.stop();
  await origin[Symbol.asyncDispose]();
  await nvidia.stop();
  await rm(cacheDir, { recursive: true });
});

function start(settings: TestSettings = {}): Promise<TestService> {
  const kept = { CACHE_DIR: cacheDir, CACHE_MAX_BYTES: String(16 * 1024 * 1024) };
  return startService({
    ...reachingFakes(nvidia),
    NVIDIA_REQUESTS_PER_MINUTE: "10000",
    ...kept,
    ...settings,
  });
}

type Size = "small" | "large";
const bytesOf = (size: Size) => (size === "small" ? jpeg : largePng);

/** Each of the four documented requests. */
const requests = {
  "/upload": (size: Size, query: string) =>
    postUrlencoded(service, `/upload${query}`, { imageUrl: origin.url(`/${size}`) }),
  "/vectorize-image": (size: Size, query: string) =>
    postJson(service, `/vectorize-image${query}`, { image_url: origin.url(`/${size}`) }),
  "/vectorize-image-base64": (size: Size, query: string) =>
    postJson(service, `/vectorize-image-base64${query}`, {
      image_base64: base64Of(bytesOf(size)),
    }),
  "/vectorize-image-upload": (size: Size, query: string) =>
    postFile(service, bytesOf(size), { query }),
} as const;

const paths = Object.entries(requests);
const models = [
  ["CLIP", clip],
  ["NV-DINOv2", dino],
] as const;

/** The stages of an answer, without those that every answer has. */
function stagesOf(response: Response): readonly string[] {
  const timing = response.headers.get("server-timing") ?? "";
  return [...timing.matchAll(/(\w+);dur/g)].flatMap(([, name = ""]) =>
    ["fetch", "total"].includes(name) ? [] : [name],
  );
}

function vectorOf(body: { readonly vector?: unknown; readonly embedding?: unknown }): unknown {
  return body.vector ?? body.embedding;
}

for (const [name, query] of models) {
  for (const size of ["small", "large"] as const) {
    test(`a ${size} image that ${name} has embedded is known to all four requests`, async () => {
      const first = await answerOf(await postFile(service, bytesOf(size), { query }));
      const asked = nvidia.requests.length;
      for (const [, request] of paths) {
        const response = await request(size, query);
        expect(stagesOf(response)).toEqual(["cache"]);
        const again = await answerOf(response);
        expect(vectorOf(again)).toEqual(first.vector);
        expect([again.model, again.dimensions]).toEqual([first.model, first.dimensions]);
      }
      expect(nvidia.requests).toHaveLength(asked);
    });
  }

  test.each(paths)(`what %s had embedded by ${name} is known`, async (_path, request) => {
    expect(stagesOf(await request("small", query))).not.toEqual(["cache"]);
    expect(stagesOf(await postFile(service, jpeg, { query }))).toEqual(["cache"]);
  });
}

test("each model has vectors of its own", async () => {
  await postFile(service, jpeg, { query: clip });
  const asked = nvidia.requests.length;
  const { dimensions } = await answerOf(await postFile(service, jpeg, { query: dino }));
  expect(dimensions).toBe(1536);
  expect(nvidia.requests).toHaveLength(asked + 1);
});

test("a vector that is known is normalised where that is asked, and only there", async () => {
  const raw = await answerOf(await postFile(service, jpeg, { query: clip }));
  const unit = await answerOf(await postFile(service, jpeg, { query: `${clip}&normalize=true` }));
  const norm = Math.hypot(...raw.vector);
  expect(Math.abs(norm - 1)).toBeGreaterThan(0.01);
  expect(Math.hypot(...unit.vector)).toBeCloseTo(1, 5);
  for (const [at, value] of unit.vector.entries()) {
    expect(value).toBeCloseTo((raw.vector[at] ?? 0) / norm, 5);
  }
  expect(await answerOf(await postFile(service, jpeg, { query: clip }))).toEqual(raw);
});

test("a service that starts again knows what the last one knew", async () => {
  await using folder = await ownFolder();
  const kept = { CACHE_DIR: folder.path };
  const first = await start(kept);
  const before = await answerOf(await postFile(first, jpeg, { query: clip }));
  await answerOf(await postFile(first, jpeg));
  await first.stop();
  const asked = nvidia.requests.length;
  await using second = await start(kept);
  const response = await postFile(second, jpeg, { query: clip });
  expect(stagesOf(response)).toEqual(["cache"]);
  expect(await response.json()).toEqual(before);
  expect((await answerOf(await postFile(second, jpeg))).model).toBe("nv-dinov2@fake");
  expect(nvidia.requests).toHaveLength(asked);
});

test("a vector of pixels that were read otherwise is another one", async () => {
  await using folder = await ownFolder();
  const kept = { CACHE_DIR: folder.path };
  for (const orientation of ["apply", "ignore"]) {
    await using other = await start({ ...kept, EXIF_ORIENTATION: orientation });
    for (const query of [clip, dino]) {
      expect(stagesOf(await postFile(other, jpeg, { query }))).toContain("decode");
      expect(stagesOf(await postFile(other, jpeg, { query }))).toEqual(["cache"]);
    }
  }
});

test("two services that run side by side share what they know", async () => {
  await using folder = await ownFolder();
  const kept = { CACHE_DIR: folder.path };
  await using one = await start(kept);
  await using other = await start(kept);
  await answerOf(await postFile(one, jpeg, { query: clip }));
  await until(
    async () => stagesOf(await postFile(other, jpeg, { query: clip })).join() === "cache",
  );
  await answerOf(await postFile(other, largePng, { query: clip }));
  await until(
    async () => stagesOf(await postFile(one, largePng, { query: clip })).join() === "cache",
  );
});

describe("the kept file", () => {
  test("is not written again, but counts as asked for now", async () => {
    const { saved_as } = await answerOf(await postFile(service, largePng, { query: clip }));
    const path = join(service.downloadsDir, saved_as);
    const longAgo = new Date(Date.now() - 3_600_000);
    await utimes(path, longAgo, longAgo);
    const { ino } = await stat(path);
    await answerOf(await postFile(service, largePng, { query: clip }));
    const after = await stat(path);
    expect(after.ino).toBe(ino);
    expect(after.mtimeMs).toBeGreaterThan(longAgo.getTime() + 1_800_000);
  });

  test.each(paths.slice(1))("is there again after %s, where it was deleted", async (_, request) => {
    for (const size of ["small", "large"] as const) {
      const { saved_as } = await answerOf(await request(size, clip));
      const path = join(service.downloadsDir, saved_as);
      await rm(path);
      const response = await request(size, clip);
      expect(stagesOf(response)).toEqual(["cache"]);
      expect(await answerOf(response)).toHaveProperty("saved_as", saved_as);
      expect(new Uint8Array(await readFile(path))).toEqual(bytesOf(size));
    }
  });

  test("of a request that keeps nothing stays away", async () => {
    const { saved_as } = await answerOf(await postFile(service, jpeg, { query: clip }));
    await rm(join(service.downloadsDir, saved_as));
    expect(stagesOf(await requests["/upload"]("small", clip))).toEqual(["cache"]);
    expect(await readdir(service.downloadsDir)).not.toContain(saved_as);
  });
});

test("what failed is not known: it is tried again", async () => {
  const broken = truncate(jpeg, 50);
  for (const query of [clip, dino]) {
    for (let round = 0; round < 2; round += 1) {
      await expectProblem(await postFile(service, broken, { query }), "undecodable-image");
    }
  }
  nvidia.next(misbehave.unprocessable);
  await expectProblem(await postFile(service, jpeg, { query: dino }), "upstream-error");
  expect((await postFile(service, jpeg, { query: dino })).status).toBe(200);
});

test("a model that calls itself otherwise from now on makes its vectors anew", async () => {
  await using folder = await ownFolder();
  await using own = await start({ CACHE_DIR: folder.path });
  await answerOf(await postFile(own, jpeg));
  nvidia.next(async () => {
    const text = await answer(new Uint8Array([1])).text();
    return new Response(text.replace("nv-dinov2@fake", "nv-dinov2@2"));
  });
  await answerOf(await postFile(own, largePng));
  await until(async () => (await answerOf(await postFile(own, largePng))).model === "nv-dinov2@2");
  const asked = nvidia.requests.length;
  await until(async () => {
    await answerOf(await postFile(own, jpeg));
    return nvidia.requests.length > asked;
  });
});

describe("the same image at the same time", () => {
  test("is inferred once, and all get the vector", async () => {
    const responses = await Promise.all(
      Array.from({ length: 6 }, () => postFile(service, largePng, { query: clip })),
    );
    const answers = await Promise.all(responses.map(answerOf));
    expect(new Set(answers.map(({ vector }) => vector.join())).size).toBe(1);
    const inferMs = responses.flatMap(
      ({ headers }) => /infer;dur=([\d.]+)/.exec(headers.get("server-timing") ?? "")?.[1] ?? [],
    );
    expect(new Set(inferMs).size).toBe(1);
  });

  test("is sent to NVIDIA once", async () => {
    const asked = nvidia.requests.length;
    const held = holdNext(nvidia, () => answer(new Uint8Array([7])));
    const both = [postFile(service, jpeg), postFile(service, jpeg)];
    await held.requested;
    held.release();
    await Promise.all(both.map(async (one) => answerOf(await one)));
    expect(nvidia.requests).toHaveLength(asked + 1);
  });
});

test("with CACHE_MAX_BYTES=0 nothing is known, and no file is made", async () => {
  await using forgetful = await startService({ CACHE_MAX_BYTES: "0" });
  for (let round = 0; round < 2; round += 1) {
    const response = await postFile(forgetful, jpeg, { query: clip });
    expect(stagesOf(response)).toContain("infer");
    expect(stagesOf(response)).not.toContain("cache");
  }
  expect(await readdir(forgetful.cacheDir).catch(() => [])).toEqual([]);
});

test("without API keys no answer says in a header whether the image was known", async () => {
  for (let round = 0; round < 2; round += 1) {
    const response = await postFile(service, jpeg, { query: clip });
    expect(response.headers.get("x-cache")).toBeNull();
  }
});

async function ownFolder() {
  const path = await mkdtemp(join(tmpdir(), "imagesvc-cache-test-"));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true }) };
}
