/** `GET` and `HEAD /embeddings/{sha256}`, and `X-Cache`: for those who come with an API key. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createApiKey, withApiKey } from "../../src/store/api-keys.ts";
import { normalizeL2 } from "../../src/vector/normalize.ts";
import {
  answerOf,
  expectProblem,
  postFile,
  postJson,
  postUrlencoded,
  send,
  type VectorAnswer,
} from "../support/client.ts";
import { type NvidiaFake, startNvidiaFake } from "../support/nvidia-fake.ts";
import { type Origin, respond, startOrigin } from "../support/origin.ts";
import { type Bytes, concat, makeJpeg, makePng } from "../support/pictures.ts";
import { reachingFakes, startService, type TestService } from "../support/service.ts";

const { key, entry } = createApiKey("tests", new Date());
const bearer = { Authorization: `Bearer ${key}` };
const caching = { CACHE_MAX_BYTES: String(16 * 1024 * 1024) };

let folder: string;
let nvidia: NvidiaFake;
let origin: Origin;
let service: TestService;
let jpeg: Bytes;
/** What was answered when the picture was sent, by the model that was asked. */
let sent: { readonly clip: VectorAnswer; readonly dino: VectorAnswer };
let sha256: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "imagesvc-look-up-test-"));
  const keysFile = join(folder, "api-keys");
  await Bun.write(keysFile, withApiKey("", entry));
  jpeg = await makeJpeg();
  sha256 = Bun.SHA256.hash(jpeg, "hex");
  nvidia = startNvidiaFake();
  origin = await startOrigin({ "/new": respond({ body: concat(jpeg, Uint8Array.of(1)) }) });
  service = await startService({ ...reachingFakes(nvidia), ...caching, API_KEYS_FILE: keysFile });
  sent = {
    clip: await answerOf(await upload("?model=clip-ViT-B-32")),
    dino: await answerOf(await upload("")),
  };
});

afterAll(async () => {
  await service.stop();
  await origin[Symbol.asyncDispose]();
  await nvidia.stop();
  await rm(folder, { recursive: true });
});

function upload(query: string): Promise<Response> {
  return postFile(service, jpeg, { query, init: { headers: bearer } });
}

function get(path: string, headers: Readonly<Record<string, string>> = {}, method = "GET") {
  return send(service, `/embeddings/${path}`, { method, headers: { ...bearer, ...headers } });
}

/** The entity tag of what is under a path. */
async function tagOf(path: string): Promise<string> {
  return (await get(path)).headers.get("etag") ?? "";
}

describe("GET", () => {
  test("answers the vector that was sent, for the model that is asked", async () => {
    for (const [query, { vector, model, dimensions }] of [
      ["", sent.clip],
      ["?model=clip-ViT-B-32", sent.clip],
      ["?model=clip-ViT-B-32@synthetic", sent.clip],
      ["?model=nv-dinov2&normalize=false", sent.dino],
    ] as const) {
      const response = await get(`${sha256}${query}`);
      expect(response.status).toBe(200);
      expect(response.headers.get("content-type")).toStartWith("application/json");
      expect(await response.json()).toEqual({
        status: "success",
        sha256,
        model,
        dimensions,
        vector: [...vector],
      });
    }
  });

  test("scales it to unit length where that is asked", async () => {
    const { vector } = await answerOf(await get(`${sha256}?normalize=true`));
    const expected = normalizeL2(new Float32Array(sent.clip.vector));
    expect([...new Float32Array(vector)]).toEqual([...expected]);
  });

  test("takes the digest in either case, and a slash at the end", async () => {
    expect(await (await get(sha256.toUpperCase())).json()).toHaveProperty("sha256", sha256);
    expect((await get(`${sha256}/`)).status).toBe(200);
  });

  test("reaches no model", async () => {
    const asked = nvidia.requests.length;
    await get(`${sha256}?model=nv-dinov2`);
    await get(`${"0".repeat(64)}?model=nv-dinov2`);
    expect(nvidia.requests).toHaveLength(asked);
  });

  test("of an image that nobody sent is a 404 that says what to do", async () => {
    const { detail } = await expectProblem(await get("0".repeat(64)), "not-found");
    expect(detail).toContain("send the image itself");
  });

  test.each(["a", "0".repeat(63), "0".repeat(65), "g".repeat(64), `${"0".repeat(62)}%2e%2e`])(
    "of what is no digest is refused: %s",
    async (digest) => {
      const { errors } = await expectProblem(await get(digest), "validation-failed");
      expect(errors).toEqual([expect.objectContaining({ pointer: "/sha256" })]);
    },
  );

  test("for a model that is not served is refused", async () => {
    await expectProblem(await get(`${sha256}?model=vgg`), "unknown-model");
    await expectProblem(await get(`${sha256}?normalize=maybe`), "validation-failed");
  });

  test("takes no other method", async () => {
    for (const method of ["POST", "PUT", "DELETE"]) {
      const response = await get(sha256, {}, method);
      expect(response.headers.get("allow")).toContain("GET");
      await expectProblem(response, "method-not-allowed");
    }
  });
});

test("HEAD has the headers of GET, and no body", async () => {
  const [head, whole] = await Promise.all([get(sha256, {}, "HEAD"), get(sha256)]);
  expect(head.status).toBe(200);
  expect(await head.text()).toBe("");
  for (const name of ["etag", "cache-control", "content-type"]) {
    expect(head.headers.get(name)).toBe(whole.headers.get(name) ?? "missing");
  }
  expect((await get("0".repeat(64), {}, "HEAD")).status).toBe(404);
});

test("pages may read the entity tag of an answer, whole or not modified", async () => {
  const whole = await get(sha256);
  const etag = whole.headers.get("etag") ?? "";
  const same = await get(sha256, { "If-None-Match": etag });
  expect([whole.status, same.status]).toEqual([200, 304]);
  for (const { headers } of [whole, same]) {
    expect(headers.get("access-control-expose-headers")).toContain("ETag");
    expect(headers.get("access-control-allow-credentials")).toBe("true");
    expect(headers.get("vary")).toBe("Origin, Accept-Encoding");
    expect(headers.get("etag")).toBe(etag);
  }
});

describe("the entity tag", () => {
  test("is strong, stays the same, and is another for every other answer", async () => {
    const asked = ["", "?normalize=true", "?model=nv-dinov2", "?model=nv-dinov2&normalize=true"];
    const tags = await Promise.all(asked.map((query) => tagOf(`${sha256}${query}`)));
    expect(new Set(tags).size).toBe(asked.length);
    for (const tag of tags) expect(tag).toMatch(/^"[\w-]{22}(-zstd)?"$/);
    expect(await tagOf(sha256)).toBe(tags[0] ?? "");
  });

  test("is asked for every time, and by one's own cache alone", async () => {
    expect((await get(sha256)).headers.get("cache-control")).toBe("private, no-cache");
  });

  test.each([
    ["the tag", (tag: string) => tag, 304],
    ["the tag, weak", (tag: string) => `W/${tag}`, 304],
    ["a list with it", (tag: string) => `"a", W/"b,c",${tag} , "d"`, 304],
    ["a star", () => "*", 304],
    ["another tag", () => '"other"', 200],
    ["another tag that has it inside", (tag: string) => `"x${tag.slice(1)}`, 200],
    ["the tag without quotes", (tag: string) => tag.slice(1, -1), 200],
    ["a star in quotes", () => '"*"', 200],
    ["nothing", () => "", 200],
  ])("If-None-Match with %s", async (_what, headerFor, status) => {
    const tag = await tagOf(sha256);
    for (const method of ["GET", "HEAD"]) {
      const response = await get(sha256, { "If-None-Match": headerFor(tag) }, method);
      expect(response.status).toBe(status);
      expect(response.headers.get("etag")).toBe(tag);
      if (status === 304) expect(await response.text()).toBe("");
    }
  });

  test("of one answer does not stand for another", async () => {
    const raw = await tagOf(sha256);
    const response = await get(`${sha256}?normalize=true`, { "If-None-Match": raw });
    expect(response.status).toBe(200);
  });

  test("a star does not stand for what is not here", async () => {
    expect((await get("0".repeat(64), { "If-None-Match": "*" })).status).toBe(404);
  });
});

test("X-Cache says what was known, on each of the four requests", async () => {
  const image_url = origin.url("/new");
  const known = [
    postUrlencoded(service, "/upload", { imageUrl: image_url }),
    postJson(service, "/vectorize-image", { image_url }, bearer),
  ];
  await Promise.all(known);
  const body = Buffer.from(jpeg).toString("base64");
  const bytes = { image_base64: body };
  for (const [first, again] of [
    ["miss", "hit"],
    ["hit", "hit"],
  ]) {
    const form = {
      method: "POST",
      headers: bearer,
      body: new URLSearchParams({ imageUrl: image_url }),
    };
    expect((await send(service, "/upload", form)).headers.get("x-cache")).toBe(first ?? "");
    const others = [
      await postJson(service, "/vectorize-image", { image_url }, bearer),
      await postJson(service, "/vectorize-image-base64", bytes, bearer),
      await upload(""),
    ];
    expect(others.map(({ headers }) => headers.get("x-cache"))).toEqual(
      others.map(() => again ?? ""),
    );
  }
});

test("X-Cache of a request with many inputs is hit where all of its images were known", async () => {
  const ask = async (...input: readonly unknown[]) => {
    const body = { model: "clip-ViT-B-32", input };
    return (await postJson(service, "/v1/embeddings", body, bearer)).headers.get("x-cache");
  };
  const known = { image: Buffer.from(jpeg).toString("base64") };
  const fresh = { image: Buffer.from(await makePng({ seed: 4711 })).toString("base64") };
  await ask(known);
  expect(await ask("a", known)).toBe("hit");
  expect(await ask(known, fresh)).toBe("miss");
  expect(await ask(known, fresh)).toBe("hit");
  expect(await ask("a")).toBeNull();
});

test("without the key nothing is told", async () => {
  const path = `/embeddings/${sha256}`;
  await expectProblem(await send(service, path), "unauthorized");
  await expectProblem(await send(service, "/embeddings/x"), "unauthorized");
});

test("without API keys configured there is nothing under the path, known or not", async () => {
  await using open = await startService(caching);
  await answerOf(await postFile(open, jpeg, { query: "?model=clip-ViT-B-32" }));
  const nowhere = await expectProblem(await send(open, "/nowhere/x"), "not-found");
  for (const path of [sha256, "0".repeat(64), "x", `${sha256}?model=vgg`]) {
    const { detail } = await expectProblem(await send(open, `/embeddings/${path}`), "not-found");
    expect(detail).toBe(nowhere.detail);
  }
});

test("with CACHE_MAX_BYTES=0 nothing is known", async () => {
  await using forgetful = await startService({
    CACHE_MAX_BYTES: "0",
    API_KEYS_FILE: join(folder, "api-keys"),
  });
  const init = { headers: bearer };
  const response = await postFile(forgetful, jpeg, { query: "?model=clip-ViT-B-32", init });
  expect(response.headers.get("x-cache")).toBeNull();
  const looked = await send(forgetful, `/embeddings/${sha256}`, init);
  await expectProblem(looked, "not-found");
});

test("while the model is not loaded, the answer says so", async () => {
  await using bare = await startService({
    ...caching,
    CLIP_WEIGHTS: "openai",
    API_KEYS_FILE: join(folder, "api-keys"),
  });
  const looked = await send(bare, `/embeddings/${sha256}`, { headers: bearer });
  await expectProblem(looked, "model-unavailable");
});
