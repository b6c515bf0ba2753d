import { afterAll, beforeAll, beforeEach, expect, test } from "bun:test";
import { readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { limits } from "../../src/limits.ts";
import {
  answerOf,
  base64Of,
  expectProblem,
  postFile,
  postJson,
  postUrlencoded,
  send,
} from "../support/client.ts";
import { type NvidiaFake, startNvidiaFake } from "../support/nvidia-fake.ts";
import { type Origin, respond, startOrigin } from "../support/origin.ts";
import {
  ascii,
  type Bytes,
  foreignHeads,
  makeAvif,
  makeGif,
  makeJpeg,
  makePng,
  makeTiff,
  makeWebp,
  truncate,
} from "../support/pictures.ts";
import { reachingFakes, startService, type TestService } from "../support/service.ts";

let service: TestService;
let nvidia: NvidiaFake;
let origin: Origin;
let jpeg: Bytes;
/** Larger than what stays in memory while it arrives. */
let largePng: Bytes;

beforeAll(async () => {
  jpeg = await makeJpeg();
  largePng = await makePng({ width: 512, height: 512, kind: "noise" });
  expect(largePng.length).toBeGreaterThan(limits.maxUploadInMemoryBytes);
  nvidia = startNvidiaFake();
  origin = await startOrigin({ "/image.jpg": respond({ body: jpeg }) });
  service = await startService({
    ...reachingFakes(nvidia),
  });
});

beforeEach(async () => {
  for (const name of await readdir(service.downloadsDir)) {
    await rm(join(service.downloadsDir, name), { recursive: true });
  }
});

afterAll(async () => {
  await service.stop();
  await origin[Symbol.asyncDispose]();
  await nvidia.stop();
});

const clip = "?model=clip-ViT-B-32";

function kept(): Promise<string[]> {
  return readdir(service.downloadsDir);
}

function nameOf(bytes: Uint8Array, extension: string): string {
  return `${Bun.SHA256.hash(bytes, "hex")}.${extension}`;
}

/** Each of the three requests that keep their bytes. */
const keeping = {
  "/vectorize-image": (_bytes: Bytes) =>
    postJson(service, `/vectorize-image${clip}`, { image_url: origin.url("/image.jpg") }),
  "/vectorize-image-base64": (bytes: Bytes) =>
    postJson(service, `/vectorize-image-base64${clip}`, { image_base64: base64Of(bytes) }),
  "/vectorize-image-upload": (bytes: Bytes) => postFile(service, bytes, { query: clip }),
} as const;

for (const [path, request] of Object.entries(keeping)) {
  test(`${path} keeps the bytes as received, for their owner alone`, async () => {
    const { saved_as } = await answerOf(await request(jpeg));
    expect(saved_as).toBe(nameOf(jpeg, "jpg"));
    expect(await kept()).toEqual([saved_as]);
    const file = join(service.downloadsDir, saved_as);
    expect(new Uint8Array(await readFile(file))).toEqual(jpeg);
    expect((await stat(file)).mode & 0o777).toBe(0o600);
  });
}

test("a large upload, which goes to disk as it arrives, is kept the same way", async () => {
  const { saved_as, path } = await answerOf(await postFile(service, largePng));
  expect({ saved_as, path }).toEqual({
    saved_as: nameOf(largePng, "png"),
    path: `downloads/${nameOf(largePng, "png")}`,
  });
  expect(await kept()).toEqual([saved_as]);
  const file = join(service.downloadsDir, saved_as);
  expect(new Uint8Array(await readFile(file))).toEqual(largePng);
  expect((await stat(file)).mode & 0o777).toBe(0o600);
});

test("the same bytes twice are one file, whichever requests bring them", async () => {
  for (const request of Object.values(keeping)) await request(jpeg);
  await Promise.all(Object.values(keeping).map((request) => request(jpeg)));
  expect(await kept()).toEqual([nameOf(jpeg, "jpg")]);
});

test("a large upload that is here already leaves one file", async () => {
  await Promise.all([postFile(service, largePng), postFile(service, largePng)]);
  await postFile(service, largePng, { query: clip });
  expect(await kept()).toEqual([nameOf(largePng, "png")]);
});

for (const [extension, make] of Object.entries({
  jpg: makeJpeg,
  png: makePng,
  webp: makeWebp,
  gif: makeGif,
  avif: makeAvif,
  tif: makeTiff,
})) {
  test(`the extension is ${extension} because the bytes say so, not the client`, async () => {
    const bytes = await make();
    const response = await postFile(service, bytes, { name: "report.exe", query: clip });
    expect(await response.json()).toMatchObject({ saved_as: nameOf(bytes, extension) });
    expect(await kept()).toEqual([nameOf(bytes, extension)]);
  });
}

test("/upload keeps nothing", async () => {
  const response = await postUrlencoded(service, "/upload", { imageUrl: origin.url("/image.jpg") });
  expect(response.status).toBe(200);
  expect(await kept()).toEqual([]);
});

for (const [what, bytes, code] of [
  ["not an image", foreignHeads["PDF"] ?? ascii(""), "unsupported-image"],
  ["empty", new Uint8Array(), "unsupported-image"],
] as const) {
  test(`bytes that are ${what} are not kept`, async () => {
    for (const query of ["", clip]) {
      await expectProblem(await postFile(service, bytes, { query }), code);
    }
    expect(await kept()).toEqual([]);
  });
}

test("an image that is cut short is not kept, small or large", async () => {
  for (const bytes of [truncate(jpeg, 50), truncate(largePng, 90)]) {
    for (const query of ["", clip]) {
      await expectProblem(await postFile(service, bytes, { query }), "undecodable-image");
    }
  }
  expect(await kept()).toEqual([]);
});

for (const size of ["small", "large"] as const) {
  test(`a ${size} file stays when only the model failed`, async () => {
    // A key that was refused is not tried again, so this service has one of its own.
    await using refused = await startService({
      NVIDIA_API_KEY: "nvapi-other",
      NVIDIA_BASE_URL: nvidia.url,
    });
    const bytes = size === "small" ? jpeg : largePng;
    await expectProblem(await postFile(refused, bytes), "upstream-unauthorized");
    const extension = size === "small" ? "jpg" : "png";
    expect(await readdir(refused.downloadsDir)).toEqual([nameOf(bytes, extension)]);
  });
}

test("a request for an unknown model keeps nothing", async () => {
  for (const bytes of [jpeg, largePng]) {
    await expectProblem(await postFile(service, bytes, { query: "?model=x" }), "unknown-model");
  }
  expect(await kept()).toEqual([]);
});

test("a file of that name with other bytes, left by a crash, is replaced", async () => {
  const file = join(service.downloadsDir, nameOf(jpeg, "jpg"));
  await writeFile(file, jpeg.subarray(0, 10));
  await postFile(service, jpeg, { query: clip });
  expect(new Uint8Array(await readFile(file))).toEqual(jpeg);
});

test("kept files are never served over HTTP", async () => {
  const { path, saved_as } = await answerOf(await postFile(service, jpeg, { query: clip }));
  for (const url of [`/${path}`, `/${saved_as}`, `/docs/../${path}`, "/downloads", "/downloads/"]) {
    await expectProblem(await send(service, url), "not-found");
  }
});

test("with DOWNLOADS_KEEP=false nothing is kept, and the answer keeps its keys", async () => {
  await using frugal = await startService({ DOWNLOADS_KEEP: "false" });
  for (const bytes of [jpeg, largePng]) {
    const response = await postFile(frugal, bytes, { query: clip });
    expect(Object.keys(await answerOf(response))).toContain("saved_as");
  }
  expect(await readdir(frugal.downloadsDir)).toEqual([]);
});

test("a disk with too little room is a 507 that leaves nothing behind", async () => {
  await using full = await startService({ DOWNLOADS_MIN_FREE_BYTES: "999999999999999" });
  for (const bytes of [jpeg, largePng]) {
    const { detail } = await expectProblem(
      await postFile(full, bytes, { query: clip }),
      "storage-full",
    );
    expect(detail).toContain("free space");
  }
  expect(await readdir(full.downloadsDir)).toEqual([]);
});

test("a downloads folder that is gone is a 507, and the reason is in the log", async () => {
  await using broken = await startService();
  await rm(broken.downloadsDir, { recursive: true });
  await writeFile(broken.downloadsDir, "a file in the folder's place");
  for (const bytes of [jpeg, largePng]) {
    await expectProblem(await postFile(broken, bytes, { query: clip }), "storage-full");
  }
  expect(broken.log.filter((line) => line.includes("ENOTDIR"))).toHaveLength(2);
});

test("/upload works when the downloads folder is full", async () => {
  await using full = await startService({
    DOWNLOADS_MIN_FREE_BYTES: "999999999999999",
    FETCH_ALLOW: "127.0.0.1",
  });
  const response = await postUrlencoded(full, "/upload", { imageUrl: origin.url("/image.jpg") });
  expect(response.status).toBe(200);
});
