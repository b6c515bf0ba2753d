/** Malformed files through the whole service: a vector or the caller's problem, and only pictures are kept. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import type { ProblemCode } from "../../src/errors.ts";
import { configureSharp, decodeImage } from "../../workers/decode.ts";
import {
  base64Of,
  expectProblem,
  type ProblemAnswer,
  postFile,
  postJson,
  type VectorAnswer,
} from "../support/client.ts";
import { startService, type TestService } from "../support/service.ts";
import { damagedFiles, type HostileFile, makeBombs } from "./corpus.ts";
import { makeSeeds } from "./seeds.ts";

/** Giants are the corpus test's; here they are refused by their headers. */
const maxPixels = 1_000_000;
const refusals: readonly ProblemCode[] = [
  "unsupported-image",
  "undecodable-image",
  "too-many-pixels",
];
const clip = "?model=clip-ViT-B-32";
let service: TestService;
let files: readonly HostileFile[];

beforeAll(async () => {
  configureSharp();
  service = await startService({ MAX_PIXELS: String(maxPixels) });
  files = [...(await makeBombs()), ...damagedFiles(await makeSeeds(), 7).take(60)];
}, 60_000);
afterAll(() => service.stop());

/** What the service answers: `vector`, or the code of a problem that is all right. */
async function verdictOf(response: Response): Promise<string> {
  const answer: Partial<VectorAnswer & ProblemAnswer> = JSON.parse(await response.clone().text());
  if (response.status === 200) {
    const { vector = [] } = answer;
    expect(vector.length).toBe(512);
    expect(vector.every(Number.isFinite)).toBe(true);
    return "vector";
  }
  const { code = "internal-error" } = answer;
  expect(refusals).toContain(code);
  await expectProblem(response, code);
  return code;
}

test("as an upload and as base64 each file is a vector or the caller's problem, and the same both times", async () => {
  const verdicts = new Set<string>();
  for (const { name, bytes } of files) {
    const body = { image_base64: base64Of(bytes) };
    const [uploaded, encoded] = await Promise.all([
      postFile(service, bytes, { query: clip }),
      postJson(service, `/vectorize-image-base64${clip}`, body),
    ]);
    const verdict = await verdictOf(uploaded);
    expect(`${name}: ${await verdictOf(encoded)}`).toBe(`${name}: ${verdict}`);
    verdicts.add(verdict);
  }
  expect([...verdicts].sort()).toEqual([...refusals, "vector"].sort());
  expect(service.lost).toEqual([]);
}, 120_000);

test("what is left in the downloads folder are pictures, each under its own digest", async () => {
  const names = await readdir(service.downloadsDir);
  expect(names.length).toBeGreaterThan(0);
  for (const name of names) {
    const image = { kind: "file", path: join(service.downloadsDir, name) } as const;
    const { facts } = await decodeImage(image, { maxPixels, orientation: "apply" });
    expect(name).toBe(`${facts.sha256}.${facts.format}`);
  }
});
