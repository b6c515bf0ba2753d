/** The originals' documented curl lines, as they stand once their placeholders are filled in. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { VectorAnswer } from "../support/client.ts";
import { leftOut } from "../support/left-out.ts";
import { type NvidiaFake, startNvidiaFake } from "../support/nvidia-fake.ts";
import { type Origin, respond, startOrigin } from "../support/origin.ts";
import { type Bytes, makePng } from "../support/pictures.ts";
import { reachingFakes, startService, type TestService } from "../support/service.ts";

let service: TestService;
let nvidia: NvidiaFake;
let origin: Origin;
let folder: string;
let png: Bytes;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "imagesvc-curl-"));
  // Large enough for many lines of base64, small enough for one argument.
  png = await makePng({ width: 160, height: 120, kind: "noise" });
  await Bun.write(join(folder, "image.png"), png);
  nvidia = startNvidiaFake();
  origin = await startOrigin({ "/image.png": respond({ body: png }) });
  service = await startService({
    ...reachingFakes(nvidia),
  });
});

afterAll(async () => {
  await service.stop();
  await origin[Symbol.asyncDispose]();
  await nvidia.stop();
  await rm(folder, { recursive: true });
});

const canRun = Bun.which("curl") !== null && Bun.which("bash") !== null;

/** Runs lines in bash, in the folder of the picture, and reads the answer of the last. */
async function run(script: string): Promise<VectorAnswer | undefined> {
  if (!canRun) {
    leftOut("the documented curl lines: there is no curl or bash");
    return undefined;
  }
  const host = `${service.url.hostname}:${service.url.port}`;
  const filled = script
    .replaceAll("<hostname>:8000", host)
    .replaceAll("localhost:8000", host)
    .replace(/https:\/\/upload\.wikimedia\.org[^"]*/, origin.url("/image.png"))
    .replaceAll("YOUR_IMAGE_URL", origin.url("/image.png"));
  const bash = Bun.spawn(["bash", "-c", `set -e\n${filled.replaceAll("curl ", "curl -sS ")}`], {
    cwd: folder,
    stderr: "pipe",
  });
  const [output, errors] = await Promise.all([
    new Response(bash.stdout).text(),
    new Response(bash.stderr).text(),
  ]);
  expect({ errors, exit: await bash.exited }).toEqual({ errors: "", exit: 0 });
  return JSON.parse(output);
}

const saved = () => {
  const saved_as = `${Bun.SHA256.hash(png, "hex")}.png`;
  return { status: "success", saved_as, path: `downloads/${saved_as}`, dimensions: 1536 };
};

test("by URL, as a form", async () => {
  const answer = await run(`curl -X 'POST' \\
'http://localhost:8000/upload' \\
-H 'accept: application/json' \\
-H 'Content-Type: application/x-www-form-urlencoded' \\
-d 'imageUrl=YOUR_IMAGE_URL'`);
  if (answer === undefined) return;
  expect(answer).toMatchObject({ message: "Image processed successfully", dimensions: 512 });
  expect(answer.embedding).toHaveLength(512);
});

test("by URL, as JSON", async () => {
  const answer = await run(`curl -X POST http://<hostname>:8000/vectorize-image \\
  -H "Content-Type: application/json" \\
  -d '{
        "image_url": "https://upload.wikimedia.org/wikipedia/commons/e/e4/Morgan_Freeman_Deauville_2018.jpg"
      }'`);
  if (answer === undefined) return;
  expect(answer).toMatchObject({ ...saved(), source_url: origin.url("/image.png") });
  expect(answer.vector).toHaveLength(1536);
});

test("as base64, which GNU base64 wraps", async () => {
  const answer = await run(`base64 image.png > img.b64
curl -X POST http://<hostname>:8000/vectorize-image-base64 \\
  -H "Content-Type: application/json" \\
  -d "{
        \\"image_base64\\": \\"$(cat img.b64)\\",
        \\"filename\\": \\"image.png\\"
      }"`);
  if (answer === undefined) return;
  expect(answer).toMatchObject({ ...saved(), original_filename: "image.png" });
  expect(answer.vector).toHaveLength(1536);
});

test("as an upload", async () => {
  const answer = await run(`curl -X POST http://<hostname>:8000/vectorize-image-upload \\
  -F "file=@image.png"`);
  if (answer === undefined) return;
  expect(answer).toMatchObject({ ...saved(), original_filename: "image.png" });
  expect(answer.vector).toHaveLength(1536);
});

test("the base64 in that test was wrapped", async () => {
  if (!canRun) return;
  const text = await Bun.file(join(folder, "img.b64")).text();
  expect(text.trimEnd().split("\n").length).toBeGreaterThan(10);
});
