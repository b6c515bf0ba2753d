/** A service whose weights are not on its host: what it says while they come, and when they do not. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { basename } from "node:path";
import { until } from "../support/client.ts";
import { defaultModel } from "../support/default-model.ts";
import { type FakeHub, startHub } from "../support/hub.ts";
import { startProcess } from "../support/process.ts";
import { temporaryFolder } from "../support/tiny-clip.ts";

let hub: FakeHub;
let folder: Awaited<ReturnType<typeof temporaryFolder>>;

beforeEach(async () => {
  hub = await startHub(new Uint8Array(defaultModel.source.bytes), defaultModel.source);
  folder = await temporaryFolder();
});

afterEach(async () => {
  await hub[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});

function start(settings: Readonly<Record<string, string>> = {}) {
  return startProcess({
    CLIP_WEIGHTS: "openai",
    MODELS_DIR: folder.path,
    HF_ENDPOINT: hub.endpoint,
    HF_HUB_OFFLINE: "false",
    HOME: folder.path,
    ...settings,
  });
}

interface ModelState {
  readonly id: string;
  readonly state: string;
  readonly why: string;
  readonly retry_after?: number;
}

/** What `/readyz` says of CLIP. */
async function clipState(url: URL): Promise<ModelState> {
  const response = await fetch(new URL("/readyz", url));
  const { models }: { readonly models: readonly ModelState[] } = JSON.parse(await response.text());
  const found = models.find(({ id }) => id === defaultModel.id);
  if (found === undefined) throw new Error("CLIP is not among the models");
  return found;
}

test("it listens at once, and says how far the download is, with a time to come back", async () => {
  hub.moods.push({ stallAfter: 70_000_000 });
  await using service = await start();
  const url = await service.url();
  await until(async () => (await clipState(url)).why.includes("11 % of 605 MB"));
  const { state, why } = await clipState(url);
  expect(state).toBe("loading");
  expect(why).toBe("The weights are being downloaded: 11 % of 605 MB.");
  const refused = await fetch(new URL("/upload", url), {
    method: "POST",
    body: new URLSearchParams({ imageUrl: "https://example.com/a.png" }),
  });
  expect(refused.status).toBe(503);
  expect(await refused.json()).toMatchObject({ code: "model-unavailable", detail: why });
  expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(0);
  service.signal("SIGTERM");
  expect(await service.exited).toBe(0);
});

test("what came before the process was killed is not downloaded again", async () => {
  hub.moods.push({ stallAfter: 30_000_000 }, { stallAfter: 0 });
  const name = basename(defaultModel.source.path);
  const partial = Bun.file(`${folder.path}/${defaultModel.id}/${name}.partial`);
  {
    await using killed = await start();
    await killed.url();
    await until(async () => (await partial.exists()) && (await partial.stat()).size === 30_000_000);
  }
  await using service = await start();
  await service.url();
  await until(() => hub.requests.some(({ range }) => range === "bytes=30000000-"));
});

test("a hub that does not have them is told of in one sentence, and the rest is served", async () => {
  hub.refusal = { status: 404 };
  await using service = await start();
  const url = await service.url();
  await until(async () => (await clipState(url)).state === "unavailable");
  expect((await clipState(url)).why).toStartWith(
    "The weights could not be downloaded: the hub does not have the file (404): check HF_ENDPOINT.",
  );
  expect((await fetch(new URL("/docs", url))).status).toBe(200);
  expect(service.log()).not.toContain('"level":"error"');
});

test("a file of the wrong length is named before the download that failed", async () => {
  hub.refusal = { status: 404 };
  const name = basename(defaultModel.source.path);
  await Bun.write(`${folder.path}/${defaultModel.id}/${name}`, "short");
  await using service = await start();
  const url = await service.url();
  await until(async () => (await clipState(url)).state === "unavailable");
  expect((await clipState(url)).why).toStartWith(
    `${name} has 5 bytes instead of ${defaultModel.source.bytes}: copy it again. The weights could not be downloaded: the hub does not have the file (404)`,
  );
});

test("with HF_HUB_OFFLINE nobody is asked", async () => {
  await using service = await start({ HF_HUB_OFFLINE: "1" });
  const url = await service.url();
  await until(async () => (await clipState(url)).state === "unavailable");
  expect((await clipState(url)).why).toContain("HF_HUB_OFFLINE");
  expect(hub.requests).toEqual([]);
});
