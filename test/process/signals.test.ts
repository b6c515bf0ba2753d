/** How a process that serves comes to its end. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readdir, rm } from "node:fs/promises";
import type { Socket } from "node:net";
import { join } from "node:path";
import { limits } from "../../src/limits.ts";
import { createApiKey, withApiKey } from "../../src/store/api-keys.ts";
import { answerOf, base64Of, expectProblem, postFile, postJson, until } from "../support/client.ts";
import { type Origin, respond, startOrigin, staySilent } from "../support/origin.ts";
import { type Bytes, concat, makeJpeg, makePng } from "../support/pictures.ts";
import { type ServiceProcess, startProcess } from "../support/process.ts";
import { connectRaw, headOf } from "../support/raw-client.ts";
import { temporaryFolder } from "../support/tiny-clip.ts";

let jpeg: Bytes;
let origin: Origin;
/** Connections that asked for `/held` and wait for their answer. */
const held: Socket[] = [];

beforeAll(async () => {
  jpeg = await makeJpeg();
  origin = await startOrigin({
    "/held": (connection) => void held.push(connection),
    "/silent": staySilent,
  });
});

afterAll(() => origin[Symbol.asyncDispose]());

const key = "nvapi-process-secret";
const environment = { FETCH_ALLOW: "127.0.0.1", NVIDIA_API_KEY: key };

/** Starts a process and waits until its model is ready. */
async function startReady(): Promise<ServiceProcess & { readonly place: { readonly url: URL } }> {
  const service = await startProcess(environment);
  await service.logged(/"model ready"/);
  return { ...service, place: { url: await service.url() } };
}

/** Asks for an image that its host holds back; resolves once the host was asked. */
async function askHeld(place: { readonly url: URL }) {
  const count = held.length;
  const response = postJson(place, "/vectorize-image?model=clip-ViT-B-32", {
    image_url: origin.url("/held"),
  });
  await until(() => held.length > count);
  return { response, release: () => held.splice(0).forEach(respond({ body: jpeg })) };
}

/** Nothing but info lines and the known warnings: no error on the way out. */
function expectCleanLog(service: ServiceProcess): void {
  expect(service.log()).not.toContain('"level":"error"');
  expect(service.log()).not.toContain(key);
}

test("SIGTERM ends an idle service cleanly", async () => {
  await using service = await startReady();
  service.signal("SIGTERM");
  expect(await service.exited).toBe(0);
  expect(service.log()).toContain('"message":"stopping","signal":"SIGTERM"');
  expectCleanLog(service);
});

test("SIGINT does too", async () => {
  await using service = await startReady();
  service.signal("SIGINT");
  expect(await service.exited).toBe(0);
  expectCleanLog(service);
});

/** Whether a new connection is refused. */
function refuses(place: { readonly url: URL }): Promise<boolean> {
  return postFile(place, jpeg, { query: "?model=clip-ViT-B-32" }).then(
    () => false,
    () => true,
  );
}

test("a request that is under way is answered, told to close, and nobody new comes in", async () => {
  await using service = await startReady();
  const { response, release } = await askHeld(service.place);
  service.signal("SIGTERM");
  await service.logged(/"stopping"/);
  await until(() => refuses(service.place));
  release();
  const answer = await response;
  expect(answer.headers.get("connection")).toBe("close");
  expect((await answerOf(answer)).dimensions).toBe(512);
  expect(await service.exited).toBe(0);
  expect(await readdir(service.downloadsDir)).toEqual([`${Bun.SHA256.hash(jpeg, "hex")}.jpg`]);
  expectCleanLog(service);
});

test("a body that is still arriving is taken to its end", async () => {
  await using service = await startReady();
  const client = await connectRaw(service.place);
  const body = JSON.stringify({ image_base64: base64Of(jpeg) });
  const path = "/vectorize-image-base64?model=clip-ViT-B-32";
  client.write(headOf(path, { "Content-Type": "application/json", "Content-Length": body.length }));
  client.write(body.slice(0, 10));
  await Bun.sleep(50);
  service.signal("SIGTERM");
  await service.logged(/"stopping"/);
  client.write(body.slice(10));
  const text = await client.closed();
  expect(text).toStartWith("HTTP/1.1 200");
  expect(text.toLowerCase()).toContain("connection: close");
  expect(await service.exited).toBe(0);
  expectCleanLog(service);
});

test("connections that are kept open without a request do not hold the stop", async () => {
  await using service = await startReady();
  const [silent, served] = await Promise.all([
    connectRaw(service.place),
    connectRaw(service.place),
  ]);
  served.write("GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n");
  await served.received(/200 OK/);
  service.signal("SIGTERM");
  expect(await service.exited).toBe(0);
  await served.closed();
  silent.hangUp();
  expectCleanLog(service);
});

test("SIGTERM before the model is ready ends cleanly, without a complaint", async () => {
  await using service = await startProcess(environment);
  await service.url();
  service.signal("SIGTERM");
  expect(await service.exited).toBe(0);
  expect(service.log()).not.toContain('"model ready"');
  expectCleanLog(service);
});

test("SIGTERM while a service without weights serves ends cleanly", async () => {
  await using service = await startProcess({ CLIP_WEIGHTS: "openai", MODELS_DIR: "/nonexistent" });
  await service.logged(/"the model is not available"/);
  service.signal("SIGTERM");
  expect(await service.exited).toBe(0);
  expectCleanLog(service);
});

test("a second signal, later than an echo of the first, ends at once with 130", async () => {
  await using service = await startReady();
  const { response } = await askHeld(service.place);
  const cut = Promise.allSettled([response]);
  service.signal("SIGTERM");
  await service.logged(/"stopping"/);
  await Bun.sleep(600);
  service.signal("SIGTERM");
  expect(await service.exited).toBe(130);
  expect(await cut).toMatchObject([{ status: "rejected" }]);
  held.splice(0);
});

test("a Ctrl-C that arrives twice, as package runners pass it on, is one", async () => {
  await using service = await startReady();
  const { response, release } = await askHeld(service.place);
  service.signal("SIGINT");
  await service.logged(/"stopping"/);
  for (const _ of [1, 2, 3]) {
    service.signal("SIGINT");
    await Bun.sleep(100);
  }
  release();
  expect((await response).status).toBe(200);
  expect(await service.exited).toBe(0);
});

test("the key is in no line of the log, whatever level", async () => {
  await using service = await startProcess({ ...environment, LOG_LEVEL: "debug" });
  await service.logged(/"model ready"/);
  const place = { url: await service.url() };
  const wrong = { image_url: `http://somebody:pw-secret@127.0.0.1/a?token=${key}` };
  await expectProblem(await postJson(place, "/vectorize-image", wrong), "invalid-image-url");
  service.signal("SIGTERM");
  expect(await service.exited).toBe(0);
  expect(service.log()).not.toContain(key);
  expect(service.log()).not.toContain("pw-secret");
});

test("SIGTERM lets every inference finish that had come in", async () => {
  await using service = await startProcess();
  const url = await service.url();
  await service.logged(/model ready/);
  const large = await makePng({ width: 1200, height: 900 });
  // Different bytes, so that each is a file of its own from the moment that it comes in.
  const running = Array.from({ length: 12 }, (_, index) =>
    postFile({ url }, concat(large, Uint8Array.of(index)), { query: "?model=clip-ViT-B-32" }),
  );
  await until(async () => (await readdir(service.downloadsDir)).length === 12);
  service.signal("SIGTERM");
  const answers = await Promise.all(
    running.map(async (one) => {
      const response = await one;
      const body: { readonly dimensions?: number } = JSON.parse(await response.text());
      return { status: response.status, dimensions: body.dimensions };
    }),
  );
  expect(answers).toEqual(answers.map(() => ({ status: 200, dimensions: 512 })));
  expect(await service.exited).toBe(0);
});

test("a second signal in the middle of an inference ends at once, without a crash", async () => {
  await using service = await startProcess();
  const url = await service.url();
  await service.logged(/model ready/);
  const large = await makePng({ width: 3000, height: 2000 });
  for (let count = 0; count < 40; count += 1) {
    postFile({ url }, large, { query: "?model=clip-ViT-B-32" }).catch(() => {});
  }
  await until(async () => (await readdir(service.downloadsDir)).length > 0);
  service.signal("SIGTERM");
  await Bun.sleep(limits.signalEchoMs + 100);
  service.signal("SIGTERM");
  expect(await service.exited).toBe(130);
});

/** A folder with a file for each of the two secrets, and the settings that name them. */
async function secretFiles() {
  const folder = await temporaryFolder();
  const settings = {
    NVIDIA_API_KEY: "",
    NVIDIA_API_KEY_FILE: join(folder.path, "nvidia"),
    API_KEYS_FILE: join(folder.path, "keys"),
  };
  return { settings, [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose]() };
}

test("SIGHUP reads the files of secrets again, and a request that is under way is answered", async () => {
  await using files = await secretFiles();
  const { settings } = files;
  const [alice, bob] = [createApiKey("alice", new Date(0)), createApiKey("bob", new Date(0))];
  await Bun.write(settings.NVIDIA_API_KEY_FILE, "nvapi-old");
  await Bun.write(settings.API_KEYS_FILE, withApiKey("", alice.entry));
  await using service = await startProcess({ ...environment, ...settings });
  await service.logged(/"model ready"/);
  const place = { url: await service.url() };
  const ask = (apiKey: string) =>
    postJson(
      place,
      "/vectorize-image?model=clip-ViT-B-32",
      { image_url: origin.url("/held") },
      { Authorization: `Bearer ${apiKey}` },
    );
  const count = held.length;
  const underWay = ask(alice.key);
  await until(() => held.length > count);
  await Bun.write(settings.NVIDIA_API_KEY_FILE, "nvapi-new");
  await Bun.write(settings.API_KEYS_FILE, withApiKey("", bob.entry));
  service.signal("SIGHUP");
  const line = await service.logged(/\{[^\n]*files of secrets were read again[^\n]*\}/);
  expect(JSON.parse(line)).toMatchObject({
    files: "NVIDIA_API_KEY_FILE, API_KEYS_FILE",
    nvidia_api_key: true,
    api_keys: 1,
  });
  expect((await ask(alice.key)).status).toBe(401);
  held.splice(0).forEach(respond({ body: jpeg }));
  expect((await underWay).status).toBe(200);
  service.signal("SIGTERM");
  expect(await service.exited).toBe(0);
  for (const secret of ["nvapi-old", "nvapi-new", alice.key, bob.key]) {
    expect(service.log()).not.toContain(secret);
  }
});

test("after a SIGHUP a file that cannot be read leaves its old value, and one sentence in the log", async () => {
  await using files = await secretFiles();
  await Bun.write(files.settings.NVIDIA_API_KEY_FILE, "nvapi-old");
  await Bun.write(files.settings.API_KEYS_FILE, "");
  await using service = await startProcess({ ...environment, ...files.settings });
  await service.url();
  await rm(files.settings.NVIDIA_API_KEY_FILE);
  service.signal("SIGHUP");
  const line = await service.logged(/\{[^\n]*files of secrets were read again[^\n]*\}/);
  expect(JSON.parse(line)).toMatchObject({ files: "API_KEYS_FILE", nvidia_api_key: true });
  expect(service.log()).toContain(
    `NVIDIA_API_KEY_FILE (${files.settings.NVIDIA_API_KEY_FILE}) cannot be read: there is no such file; the old value stays`,
  );
});

test("SIGHUP without such files is answered with a log line, and the service goes on", async () => {
  await using service = await startProcess(environment);
  const url = await service.url();
  service.signal("SIGHUP");
  await service.logged(/"nothing to read again/);
  expect((await fetch(new URL("/livez", url))).status).toBe(200);
  service.signal("SIGTERM");
  expect(await service.exited).toBe(0);
  expectCleanLog(service);
});
