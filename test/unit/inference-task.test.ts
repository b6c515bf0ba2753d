import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { createWorker, type Worker } from "../../src/backends/pool.ts";
import { workerFiles } from "../../src/native/worker-files.ts";
import { makeJpeg, makePng } from "../support/pictures.ts";
import { clipInput, temporaryFolder, tinyClip, writeTinyClip } from "../support/tiny-clip.ts";

const decode = { maxPixels: 1_000_000, orientation: "apply" } as const;
let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let worker: Worker;

beforeAll(async () => {
  folder = await temporaryFolder();
  worker = createWorker(workerFiles);
  const { imageTower } = await writeTinyClip(folder.path);
  const { dimensions, vision } = tinyClip;
  const { mean, std } = clipInput;
  const model = { imageTower, dimensions, side: vision.side, mean, std, threads: 1 };
  await worker.run({ kind: "warm-up", model });
});
afterAll(async () => {
  await worker.close();
  await folder[Symbol.asyncDispose]();
});

test("whatever befalls one image of a batch, its neighbours get the vectors that they get alone", async () => {
  const good = [await makeJpeg({ seed: 1 }), await makePng({ seed: 2 })];
  const vanished = { kind: "file", path: join(folder.path, "vanished.jpg") } as const;
  const text = { kind: "memory", bytes: new TextEncoder().encode("no image") } as const;
  const [first, second] = good.map((bytes) => ({ kind: "memory", bytes: bytes.slice() }) as const);
  if (first === undefined || second === undefined) throw new Error("no pictures");

  const alone = [];
  for (const bytes of good) {
    const image = { kind: "memory", bytes: bytes.slice() } as const;
    alone.push(...(await worker.run({ kind: "embed-images", images: [image], decode })));
  }
  const images = [first, vanished, text, second];
  const together = await worker.run({ kind: "embed-images", images, decode });

  const codes = together.map(({ result }) =>
    "problem" in result ? result.problem.code : "vector",
  );
  expect(codes).toEqual(["vector", "internal-error", "unsupported-image", "vector"]);
  expect([together[0]?.result, together[3]?.result]).toEqual(alone.map(({ result }) => result));
  expect(JSON.stringify(together[1]?.result)).toContain("report the request id");
});

describe("a picture that comes alone", () => {
  const cores = new Int32Array(new SharedArrayBuffer(4));
  const embed = async (isAlone: boolean) => {
    const image = { kind: "memory", bytes: await makeJpeg({ seed: 5 }) } as const;
    const [outcome] = await worker.run({ kind: "embed-images", images: [image], decode, isAlone });
    return { ...outcome, inferThreads: outcome?.timings.inferThreads };
  };

  beforeAll(async () => {
    const { imageTower } = await writeTinyClip(folder.path);
    const { dimensions, vision } = tinyClip;
    const shape = { dimensions, side: vision.side, threads: 1, wideThreads: 2 };
    await worker.run({ kind: "warm-up", model: { ...clipInput, ...shape, imageTower }, cores });
  });

  test("is inferred on this worker's share of the cores before the session of all is open", async () => {
    expect(await embed(true)).toMatchObject({ inferThreads: 1 });
    expect(await worker.run({ kind: "open-wide" })).toEqual({ isOpen: true });
  });

  test("is inferred on all cores then, with the same vector", async () => {
    const [alone, beside] = [await embed(true), await embed(false)];
    expect([alone.inferThreads, beside.inferThreads]).toEqual([2, 1]);
    expect(alone.result).toEqual(beside.result);
    expect([...cores]).toEqual([0]);
  });

  test("is inferred on a share while another worker infers, which came first", async () => {
    Atomics.store(cores, 0, 1);
    expect(await embed(true)).toMatchObject({ inferThreads: 1 });
    Atomics.store(cores, 0, 0);
  });

  test("a worker opens no such session where the model is to have none, or there is no model", async () => {
    const { imageTower } = await writeTinyClip(folder.path);
    const { dimensions, vision } = tinyClip;
    const model = { ...clipInput, imageTower, dimensions, side: vision.side, threads: 1 };
    for (const one of [undefined, model]) {
      await worker.run({ kind: "warm-up", model: one });
      expect(await worker.run({ kind: "open-wide" })).toEqual({ isOpen: false });
    }
  });
});

test("a warm-up with a model that gives something else says what", async () => {
  const { imageTower } = await writeTinyClip(folder.path);
  const model = {
    ...clipInput,
    imageTower,
    dimensions: 99,
    side: tinyClip.vision.side,
    threads: 1,
  };
  expect(await worker.run({ kind: "warm-up", model })).toEqual({
    problem: {
      code: "model-unavailable",
      detail:
        "The model cannot be used: the image tower gave float32 [1,12] instead of float32 [1,99].",
    },
  });
  expect(await worker.run({ kind: "ping" })).toEqual({ isWarm: false });
});
