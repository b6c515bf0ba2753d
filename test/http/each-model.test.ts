/** `POST /embeddings`: one image, several models, one decoding. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { answerOf, base64Of, expectProblem, postJson } from "../support/client.ts";
import { countedTasks, countedTasksPath } from "../support/counted-tasks.ts";
import { misbehave, type NvidiaFake, startNvidiaFake } from "../support/nvidia-fake.ts";
import { type Origin, respond, startOrigin } from "../support/origin.ts";
import { type Bytes, makeJpeg, makePng } from "../support/pictures.ts";
import { startService, type TestService } from "../support/service.ts";

interface Answer {
  readonly status: string;
  readonly sha256: string;
  readonly results: readonly {
    readonly model: string;
    readonly dimensions?: number;
    readonly vector?: readonly number[];
    readonly problem?: { readonly code: string; readonly status: number };
  }[];
  readonly report?: Readonly<Record<string, unknown>>;
}

const [clip, dino] = ["clip-ViT-B-32", "nv-dinov2"];
const models = [clip, dino];
let nvidia: NvidiaFake;
let origin: Origin;
let service: TestService;
let remembering: TestService;
let withoutKey: TestService;
let cacheDir: string;
let jpeg: Bytes;

beforeAll(async () => {
  jpeg = await makeJpeg({ width: 640, height: 480 });
  cacheDir = await mkdtemp(join(tmpdir(), "imagesvc-each-"));
  nvidia = startNvidiaFake();
  origin = await startOrigin({ "/image.jpg": respond({ body: jpeg }) });
  const settings = {
    FETCH_ALLOW: "127.0.0.1",
    NVIDIA_BASE_URL: nvidia.url,
    NVIDIA_API_KEY: "nvapi-fake",
  };
  const counting = { inference: join(import.meta.dir, "../support/counting-worker.ts") };
  service = await startService(settings, counting);
  remembering = await startService(
    { ...settings, CACHE_MAX_BYTES: "100000000", CACHE_DIR: cacheDir },
    counting,
  );
  withoutKey = await startService({}, counting);
});

afterAll(async () => {
  for (const one of [service, remembering, withoutKey]) await one.stop();
  await origin[Symbol.asyncDispose]();
  await nvidia.stop();
  await rm(cacheDir, { recursive: true });
  await rm(countedTasksPath(), { force: true });
});

async function answerTo(body: object, query = "", at = service): Promise<Answer> {
  const response = await postJson(at, `/embeddings${query}`, body);
  const text = await response.text();
  expect({ status: response.status, text }).toMatchObject({ status: 200 });
  return JSON.parse(text);
}

async function vectorOf(model: string, bytes: Bytes, query = ""): Promise<readonly number[]> {
  const body = { image_base64: base64Of(bytes) };
  const path = `/vectorize-image-base64?model=${model}${query}`;
  return (await answerOf(await postJson(service, path, body))).vector;
}

describe("vectors", () => {
  test("of both models are those that each gives alone, from one fetch, and nothing is kept", async () => {
    const fetched = origin.requests.length;
    const answer = await answerTo({ image_url: origin.url("/image.jpg"), models });
    expect(origin.requests.length).toBe(fetched + 1);
    expect(Object.keys(answer)).toEqual(["status", "sha256", "results"]);
    expect(answer.sha256).toBe(Bun.SHA256.hash(jpeg, "hex"));
    expect(await readdir(service.downloadsDir)).toEqual([]);
    const [byClip, byDino] = answer.results;
    expect(byClip).toMatchObject({ model: "clip-ViT-B-32@synthetic", dimensions: 512 });
    expect(byDino).toMatchObject({ model: "nv-dinov2@fake", dimensions: 1536 });
    expect(byClip?.vector).toEqual(await vectorOf(clip, jpeg));
    expect(byDino?.vector).toEqual(await vectorOf(dino, jpeg));
  });

  test.each([
    ["a JPEG that lies on its side", () => makeJpeg({ width: 700, height: 400, orientation: 6 })],
    ["a large PNG", () => makePng({ width: 1500, height: 900, kind: "noise" })],
  ])("of %s are the same, too", async (_what, make) => {
    const bytes = await make();
    const { results } = await answerTo({ image_base64: base64Of(bytes), models });
    expect(results[0]?.vector).toEqual(await vectorOf(clip, bytes));
    expect(results[1]?.vector).toEqual(await vectorOf(dino, bytes));
  });

  test("come in the order asked, normalised on request", async () => {
    const body = { image_base64: base64Of(jpeg), models: [dino, clip] };
    const { results } = await answerTo(body, "?normalize=true");
    expect(results.map(({ model }) => model)).toEqual([
      "nv-dinov2@fake",
      "clip-ViT-B-32@synthetic",
    ]);
    for (const { vector = [] } of results) expect(Math.hypot(...vector)).toBeCloseTo(1, 5);
  });
});

describe("the image is decoded once", () => {
  /** What the workers were asked meanwhile, and how many images each time. */
  async function tasksOf(at: TestService, body: object): Promise<readonly string[]> {
    const seen = countedTasks().length;
    await answerTo(body, "", at);
    return countedTasks().slice(seen);
  }

  test("for both models", async () => {
    const body = { image_base64: base64Of(jpeg), models, report: true };
    expect(await tasksOf(service, body)).toEqual(["embed-images: opened 1, decoded 1"]);
  });

  test("for the hosted one alone", async () => {
    const body = { image_base64: base64Of(jpeg), models: [dino], report: true };
    expect(await tasksOf(service, body)).toEqual(["prepare-upstream: opened 1, decoded 1"]);
  });

  test("and not at all where both vectors are known, unless a report is wanted", async () => {
    const png = await makePng({ width: 300, height: 300, kind: "noise" });
    const body = { image_base64: base64Of(png), models };
    expect(await tasksOf(remembering, body)).toEqual(["embed-images: opened 1, decoded 1"]);
    expect(await tasksOf(remembering, body)).toEqual([]);
    const reported = { ...body, report: true };
    expect(await tasksOf(remembering, reported)).toEqual(["prepare-upstream: opened 1, decoded 1"]);
  });

  test("where one vector is known, for the other", async () => {
    const png = await makePng({ width: 310, height: 300, kind: "noise" });
    const body = { image_base64: base64Of(png) };
    await answerTo({ ...body, models: [clip] }, "", remembering);
    const both = { ...body, models };
    expect(await tasksOf(remembering, both)).toEqual(["prepare-upstream: opened 1, decoded 1"]);
  });
});

describe("each model has an outcome of its own", () => {
  test("a model without its key has a problem, and the other a vector", async () => {
    const body = { image_base64: base64Of(jpeg), models };
    const { results } = await answerTo(body, "", withoutKey);
    expect(results[0]?.vector).toHaveLength(512);
    expect(results[1]).toMatchObject({
      model: "nv-dinov2",
      problem: { code: "model-unavailable", status: 503 },
    });
  });

  test("a hosted model that fails has a problem, and the other a vector", async () => {
    nvidia.next(misbehave.unprocessable);
    const png = await makePng({ width: 99, height: 99, kind: "noise" });
    const { results } = await answerTo({ image_base64: base64Of(png), models });
    expect(results[0]?.vector).toHaveLength(512);
    expect(results[1]?.problem?.code).toBe("upstream-error");
  });

  test("a model that nobody has is unknown", async () => {
    const { results } = await answerTo({ image_base64: base64Of(jpeg), models: ["bert", clip] });
    expect(results[0]).toMatchObject({ model: "bert", problem: { code: "unknown-model" } });
    expect(results[1]?.vector).toHaveLength(512);
  });

  test("where all fail, the first problem is the answer", async () => {
    const bad = { image_base64: base64Of(jpeg.slice(0, 400)), models };
    await expectProblem(await postJson(service, "/embeddings", bad), "undecodable-image");
    const unknown = { image_url: origin.url("/image.jpg"), models: ["bert", "dino"] };
    const fetched = origin.requests.length;
    const { detail } = await expectProblem(
      await postJson(service, "/embeddings", unknown),
      "unknown-model",
    );
    expect(detail).toContain("bert");
    expect(origin.requests.length).toBe(fetched);
  });
});

describe("a report", () => {
  test("leaves the picture for a thumbnail, also where the vector was known", async () => {
    const bytes = await makeJpeg({ width: 90, height: 60, kind: "noise" });
    const body = { image_base64: base64Of(bytes), models: [clip], report: true };
    const first = await answerTo(body, "?thumbnail=true", remembering);
    expect(Object.keys(first)).toContain("thumbnail");
    expect(await answerTo(body, "?thumbnail=true", remembering)).toEqual(first);
  });

  test("tells what was decoded, upright, and what CLIP sees of it", async () => {
    const bytes = await makeJpeg({ width: 700, height: 400, orientation: 6 });
    const { report } = await answerTo({ image_base64: base64Of(bytes), models, report: true });
    expect(report).toEqual({
      format: "jpg",
      bytes: bytes.length,
      width: 400,
      height: 700,
      orientation: 6,
      orientation_applied: true,
      colour_space: "srgb",
      alpha: false,
      frames: 1,
      crop: { left: 0, top: 150, width: 400, height: 400 },
      hints: expect.any(Array),
    });
  });

  test("has no crop where no model cuts one out", async () => {
    const body = { image_base64: base64Of(jpeg), models: [dino], report: true };
    expect((await answerTo(body)).report).not.toHaveProperty("crop");
  });

  test("hints at a picture that is too small, whichever model decodes it", async () => {
    const image_base64 = base64Of(await makePng({ width: 40, height: 300, kind: "noise" }));
    for (const model of models) {
      const { report } = await answerTo({ image_base64, models: [model], report: true });
      expect(report).toMatchObject({ format: "png", hints: ["too-small"] });
    }
  });
});

describe("bad requests", () => {
  test.each([
    ["no models", {}],
    ["an empty list", { models: [] }],
    ["a model that is no string", { models: [5] }],
    ["the same model twice", { models: [clip, clip] }],
    ["a report that is no boolean", { models: [clip], report: "maybe" }],
  ])("%s", async (_what, given) => {
    const body = { image_base64: base64Of(jpeg), ...given };
    await expectProblem(await postJson(service, "/embeddings", body), "validation-failed");
  });

  test("two images, and none", async () => {
    const two = { image_base64: base64Of(jpeg), image_url: "https://x.example/", models };
    for (const body of [two, { models }]) {
      await expectProblem(await postJson(service, "/embeddings", body), "validation-failed");
    }
  });
});
