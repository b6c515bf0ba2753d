/** `thumbnail=true`: the small picture in an answer. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import sharp from "sharp";
import { limits } from "../../src/limits.ts";
import { answerOf, postFile, postJson, postUrlencoded } from "../support/client.ts";
import { type NvidiaFake, startNvidiaFake } from "../support/nvidia-fake.ts";
import { type Origin, respond, startOrigin } from "../support/origin.ts";
import { makeAvif, makeJpeg, makePng } from "../support/pictures.ts";
import { reachingFakes, startService, type TestService } from "../support/service.ts";

let service: TestService;
let nvidia: NvidiaFake;
let origin: Origin;

beforeAll(async () => {
  const photo = await makeJpeg({ width: 900, height: 600, orientation: 6, gps: true });
  origin = await startOrigin({
    "/photo.jpg": respond({ body: photo }),
    "/small.png": respond({ body: await makePng() }),
    "/noise.png": respond({ body: await makePng({ width: 800, height: 800, kind: "noise" }) }),
  });
  nvidia = startNvidiaFake();
  service = await startService({ ...reachingFakes(nvidia), CACHE_MAX_BYTES: "64000000" });
});

afterAll(async () => {
  await service.stop();
  await origin[Symbol.asyncDispose]();
  await nvidia.stop();
});

/** What a `data:` URI holds, as sharp reads it. */
function metadataOf(uri: unknown) {
  const [, base64 = ""] = /^data:image\/(?:jpeg|png);base64,(.+)$/.exec(String(uri)) ?? [];
  return sharp(Buffer.from(base64, "base64")).metadata();
}

const byForm = (path: string, query: string) =>
  postUrlencoded(service, `/upload${query}`, { imageUrl: origin.url(path) });

test("a picture that both models embed comes back once, small and upright, also when its vectors were known", async () => {
  for (const _time of ["first", "again"]) {
    const body = { image_url: origin.url("/photo.jpg"), models: ["clip-ViT-B-32", "nv-dinov2"] };
    const response = await postJson(service, "/embeddings?thumbnail=true", body);
    const answer = await answerOf(response);
    const { width, height, exif } = await metadataOf(Reflect.get(answer, "thumbnail"));
    expect({ width, height, exif }).toEqual({ width: 213, height: 320, exif: undefined });
  }
  const body = { image_url: origin.url("/photo.jpg"), models: ["clip-ViT-B-32"] };
  expect(await answerOf(await postJson(service, "/embeddings", body))).not.toHaveProperty(
    "thumbnail",
  );
});

test("a picture by URL comes back small, upright and without metadata, also when its vector was known", async () => {
  for (const _time of ["first", "again"]) {
    const answer = await answerOf(await byForm("/photo.jpg", "?thumbnail=true"));
    expect(answer).toMatchObject({ dimensions: 512 });
    const { format, width, height, exif, orientation } = await metadataOf(
      Reflect.get(answer, "thumbnail"),
    );
    expect({ format, width, height, exif, orientation }).toMatchObject({
      format: "jpeg",
      width: 213,
      height: limits.thumbnailSide,
    });
    expect([exif, orientation]).toEqual([undefined, undefined]);
  }
});

test("a picture that is small enough keeps its pixels", async () => {
  const answer = await answerOf(await byForm("/small.png", "?thumbnail=true"));
  expect(await metadataOf(Reflect.get(answer, "thumbnail"))).toMatchObject({
    format: "png",
    width: 64,
    height: 48,
  });
});

test("noise, which no format makes small, stays under the limit of characters", async () => {
  const answer = await answerOf(await byForm("/noise.png", "?thumbnail=true"));
  const uri = String(Reflect.get(answer, "thumbnail"));
  expect(uri.length).toBeLessThanOrEqual(limits.maxThumbnailChars + 32);
  expect((await metadataOf(uri)).width).toBeLessThanOrEqual(limits.thumbnailSide);
});

test("the requests that keep what they get have one, too, and keep the picture as it came", async () => {
  const avif = await makeAvif({ width: 640, height: 480 });
  const uploaded = await answerOf(await postFile(service, avif, { query: "?thumbnail=true" }));
  expect(uploaded.saved_as).toBe(`${Bun.SHA256.hash(avif, "hex")}.avif`);
  expect(await Bun.file(`${service.downloadsDir}/${uploaded.saved_as}`).bytes()).toEqual(avif);
  expect(await metadataOf(Reflect.get(uploaded, "thumbnail"))).toMatchObject({ width: 320 });
  const large = await makePng({ width: 700, height: 500, kind: "noise" });
  expect(large.length).toBeGreaterThan(limits.maxUploadInMemoryBytes);
  const spooled = await answerOf(await postFile(service, large, { query: "?thumbnail=true" }));
  expect(await Bun.file(`${service.downloadsDir}/${spooled.saved_as}`).bytes()).toEqual(large);
  expect(await metadataOf(Reflect.get(spooled, "thumbnail"))).toMatchObject({ width: 320 });
});

test("without the option, or with it false, there is none", async () => {
  for (const query of ["", "?thumbnail=false"]) {
    expect(await answerOf(await byForm("/photo.jpg", query))).not.toHaveProperty("thumbnail");
  }
});

test("a picture that cannot be embedded is its own problem", async () => {
  const bytes = (await makeJpeg()).slice(0, 200);
  const response = await postFile(service, bytes, { query: "?thumbnail=true" });
  expect(await response.json()).toMatchObject({ code: "undecodable-image" });
  const unknown = await postJson(service, "/vectorize-image?thumbnail=perhaps", { image_url: "x" });
  expect(await unknown.json()).toMatchObject({ code: "validation-failed" });
});
