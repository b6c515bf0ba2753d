import { expect, test } from "bun:test";
import type { BackendState, ImageBackend } from "../../src/backends/backend.ts";
import { Problem } from "../../src/errors.ts";
import { createApp } from "../../src/http/app.ts";
import type { Calls } from "../../src/http/call.ts";
import { send } from "../support/client.ts";
import { everyReader } from "../support/every-reader.ts";
import { startNvidiaFake } from "../support/nvidia-fake.ts";
import { startService } from "../support/service.ts";

interface Readiness {
  readonly status: string;
  readonly models: readonly {
    readonly id: string;
    readonly state: string;
    readonly why?: string;
  }[];
}

test("/livez says that the process is alive", async () => {
  await using service = await startService({ CLIP_WEIGHTS: "openai" });
  const response = await send(service, "/livez");
  expect(response.status).toBe(200);
  expect(await response.json()).toEqual({ status: "alive" });
});

test("/readyz is ready with one model, and says why the other is not", async () => {
  await using service = await startService();
  const response = await send(service, "/readyz");
  expect(response.status).toBe(200);
  const { status, models }: Readiness = JSON.parse(await response.text());
  expect(status).toBe("ready");
  expect(models).toEqual([
    { id: "clip-ViT-B-32@synthetic", state: "ready" },
    { id: "nv-dinov2", state: "unavailable", why: expect.stringContaining("NVIDIA_API_KEY") },
  ] as unknown as Readiness["models"]);
});

test("/readyz is ready with the hosted model alone", async () => {
  const nvidia = startNvidiaFake();
  await using service = await startService({
    CLIP_WEIGHTS: "openai",
    NVIDIA_API_KEY: "nvapi-fake",
    NVIDIA_BASE_URL: nvidia.url,
  });
  const response = await send(service, "/readyz");
  expect(response.status).toBe(200);
  expect(await response.json()).toMatchObject({
    status: "ready",
    models: [
      { id: "clip-ViT-B-32", state: "unavailable" },
      { id: "nv-dinov2", state: "ready" },
    ],
  });
  await nvidia.stop();
});

test("/readyz is 503 when no model serves", async () => {
  await using service = await startService({ CLIP_WEIGHTS: "openai" });
  const response = await send(service, "/readyz");
  expect(response.status).toBe(503);
  expect(await response.json()).toMatchObject({ status: "not-ready" });
});

const refuse = async () => {
  throw new Error("not asked here");
};

/** The answer of `/readyz` with one model in this state. */
async function readiness(state: BackendState, isDraining: boolean) {
  const calls: Calls = new WeakMap();
  const backend: ImageBackend = {
    id: "m",
    exactId: "m@1",
    dimensions: 1,
    state: () => state,
    admission: () => undefined,
    fingerprint: () => undefined,
    embed: refuse,
  };
  const app = createApp({
    embedder: { backends: [backend], refusal: () => undefined, embed: refuse },
    textEmbedder: { refusal: () => undefined, embed: refuse },
    comparer: { refusal: () => undefined, compare: refuse },
    eachEmbedder: { embed: refuse },
    manyEmbedder: { find: () => new Problem("unknown-model", "None."), embed: refuse },
    localModel: "m",
    calls,
    readers: everyReader(refuse),
    lifecycle: { isDraining, isHandingOver: false },
    corsOrigins: [],
    apiKeys: () => undefined,
    lookUp: () => new Problem("not-found", "Nothing."),
    hostGuard: undefined,
  });
  const response = await app.fetch(new Request("http://imagesvc/readyz"));
  return { status: response.status, body: await response.json() };
}

test("a model that is loading makes /readyz a 503 that says so", async () => {
  expect(
    await readiness({ kind: "loading", why: "The weights are being prepared." }, false),
  ).toEqual({
    status: 503,
    body: {
      status: "not-ready",
      models: [{ id: "m@1", state: "loading", why: "The weights are being prepared." }],
    },
  });
});

test("while draining /readyz is a 503, although the model is ready", async () => {
  expect(await readiness({ kind: "ready" }, true)).toEqual({
    status: 503,
    body: { status: "draining", models: [{ id: "m@1", state: "ready" }] },
  });
});

test("HEAD of the health paths has the GET's status and no body", async () => {
  await using service = await startService();
  for (const path of ["/livez", "/readyz"]) {
    const response = await send(service, path, { method: "HEAD" });
    expect(response.status).toBe(200);
    expect(await response.text()).toBe("");
  }
});
