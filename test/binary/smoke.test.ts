import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import packageJson from "../../package.json" with { type: "json" };
import { repositoryRoot } from "../support/source-files.ts";

/** A valid PNG of one pixel. */
const onePixelPng =
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

const place = await mkdtemp(join(tmpdir(), "imagesvc-binary-"));
const executable = join(place, "imagesvc");
const workingFolder = join(place, "work");
const temporaryFolder = join(place, "tmp");

/** All that the executable finds in its environment. */
const environment = {
  PATH: "/usr/bin:/bin",
  HOME: join(place, "home"),
  TMPDIR: temporaryFolder,
  HOST: "127.0.0.1",
  PORT: "0",
  CLIP_WEIGHTS: "synthetic",
  LOG_FORMAT: "json",
};

beforeAll(async () => {
  for (const folder of [workingFolder, temporaryFolder, environment.HOME]) await mkdir(folder);
  // Neither may have a say in what an installed service does.
  await writeFile(join(workingFolder, ".env"), "PORT=not-a-port\n");
  await writeFile(join(workingFolder, "bunfig.toml"), 'preload = ["./missing.ts"]\n');
  const build = Bun.spawn([process.execPath, "src/native/build.ts", executable], {
    cwd: repositoryRoot,
    env: { PATH: environment.PATH, HOME: join(place, "builder") },
    stdout: "ignore",
  });
  expect(await build.exited).toBe(0);
}, 60_000);

afterAll(() => rm(place, { recursive: true, force: true }));

function start(...args: readonly string[]) {
  return Bun.spawn([executable, ...args], {
    cwd: workingFolder,
    env: environment,
    stdout: "pipe",
    stderr: "pipe",
  });
}

test("the executable tells its version", async () => {
  const run = start("--version");
  expect(await run.stdout.text()).toContain(packageJson.version);
  expect(await run.exited).toBe(0);
});

test("the executable names no path of the machine that built it", async () => {
  const bytes = Buffer.from(await Bun.file(executable).arrayBuffer());
  for (const folder of ["src", "workers", "node_modules"]) {
    expect(bytes.indexOf(join(repositoryRoot, folder, "/"))).toBe(-1);
  }
});

test("the executable alone, in an empty folder, turns a picture into a vector", async () => {
  const service = start("serve");
  try {
    const url = await addressOf(service.stderr);
    await untilReady(url, service.exited);
    const response = await fetch(new URL("/vectorize-image-base64?model=clip-ViT-B-32", url), {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ image_base64: onePixelPng }),
    });
    expect(response.status).toBe(200);
    const answer = await response.json();
    expect(answer).toMatchObject({ model: "clip-ViT-B-32@synthetic", dimensions: 512 });
    expect(answer).toHaveProperty("vector.length", 512);
    for (const path of ["/docs", "/openapi.json"]) {
      expect((await fetch(new URL(path, url))).status).toBe(200);
    }
    service.kill("SIGTERM");
    expect(await service.exited).toBe(0);
  } finally {
    service.kill("SIGKILL");
    await service.exited;
  }
  // No library was unpacked, and onnxruntime left no trace of its telemetry.
  expect(await readdir(temporaryFolder)).toEqual([]);
  expect(await readdir(environment.HOME)).toEqual([]);
}, 180_000);

/** Reads the log up to the line that says where the service listens, and lets the rest flow away. */
async function addressOf(log: ReadableStream<Uint8Array<ArrayBuffer>>): Promise<string> {
  let text = "";
  const reader = log.pipeThrough(new TextDecoderStream()).getReader();
  for (let chunk = await reader.read(); !chunk.done; chunk = await reader.read()) {
    text += chunk.value;
    const url = /"message":"listening".*?"url":"([^"]+)"/.exec(text)?.[1];
    if (url === undefined) continue;
    void drain(reader);
    return url;
  }
  throw new Error(`the service ended without listening: ${text}`);
}

async function drain(reader: { read(): Promise<{ done: boolean }> }): Promise<void> {
  while (!(await reader.read()).done);
}

/** The weights are made on first use: some seconds. */
async function untilReady(url: string, exited: Promise<number>): Promise<void> {
  const ended = exited.then((code) => {
    throw new Error(`the service ended with ${code} before it was ready`);
  });
  for (let ready = false; !ready; ready = await Promise.race([isReady(url), ended])) {
    await Bun.sleep(100);
  }
}

async function isReady(url: string): Promise<boolean> {
  const response = await fetch(new URL("/readyz", url));
  if (response.ok) return true;
  const answer = await response.text();
  // The other model has no key here, and waits for none.
  if (!answer.includes('"loading"')) throw new Error(`the service will not be ready: ${answer}`);
  return false;
}
