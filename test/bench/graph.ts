/** The image tower's graphs side by side: ours and the plain one, in float32 and in int8. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { normalizedLevels, rgbToPixelValues } from "../../src/image/tensor.ts";
import { catalog } from "../../src/models/catalog.ts";
import type { Graph } from "../../src/models/onnx/graph.ts";
import { imageTower } from "../../src/models/onnx/image-tower.ts";
import { seededTensors } from "../../src/models/seeded-tensors.ts";
import { cosineSimilarity } from "../../src/vector/similarity.ts";
import { createSession, type ImageSession } from "../../workers/session.ts";
import { writeGraph } from "../../workers/write-model.ts";
import { plainImageTower } from "./plain-graph.ts";
import { findingRow, findingsHead } from "./report.ts";
import { median, ratios, withRange } from "./statistics.ts";

const { architecture, preprocessing } = catalog["clip-ViT-B-32"];
const { side } = architecture.vision;
const values = 3 * side * side;
const rounds = 5;
const msEach = 500;
/** They wait for 25 ms, and longer while another session wants their cores. */
const msToSleep = 120;
const batchSize = 8;

const graphs = [
  ["fp32, plain", () => plainImageTower(architecture, "fp32")],
  ["fp32, ours", () => imageTower(architecture)],
  ["int8 per row, plain", () => plainImageTower(architecture, "int8")],
  ["int8 per row, ours", () => imageTower(architecture, "int8")],
  ["int8 per row, ours, 7 bits", () => imageTower(architecture, "int8-7bit")],
  ["int8 per tensor, as published", () => plainImageTower(architecture, "int8-per-tensor")],
] as const satisfies readonly (readonly [string, () => Graph])[];

interface Contender {
  readonly name: string;
  readonly session: ImageSession;
  readonly alone: Float32Array;
  /** Whether a picture has the same bits alone and in a batch. */
  readonly isSame: boolean;
  /** Images a second, one a round. */
  readonly singles: number[];
  readonly batches: number[];
}

/** Prints images a second of each graph, by turns in every round, and what the ratios should be. */
export async function* graph(): AsyncGenerator<string> {
  const folder = await mkdtemp(join(tmpdir(), "imagesvc-graphs-"));
  try {
    const paths: (readonly [string, string])[] = [];
    for (const [index, [name, make]] of graphs.entries()) {
      const path = join(folder, `${index}.onnx`);
      await writeGraph(path, make(), seededTensors("imagesvc"));
      paths.push([name, path]);
    }
    for (const threads of [1, 2]) yield* compare(paths, threads);
  } finally {
    await rm(folder, { recursive: true });
  }
}

async function* compare(paths: readonly (readonly [string, string])[], threads: number) {
  // What is embedded was bytes before it was normalised, which int8 graphs rely on.
  const rgb = Uint8Array.from({ length: batchSize * values }, (_, index) =>
    Math.round(127.5 + 127.5 * Math.sin(index * 0.37 + index ** 2 * 1e-7)),
  );
  const pictures = new Float32Array(rgb.length);
  const levels = normalizedLevels(preprocessing);
  for (let start = 0; start < rgb.length; start += values) {
    rgbToPixelValues(rgb.subarray(start, start + values), levels, pictures, start);
  }
  const one = pictures.slice(0, values);
  const contenders: Contender[] = [];
  for (const [name, path] of paths) {
    const { dimensions } = architecture;
    const session = await createSession({ imageTower: path, dimensions, side, threads });
    const alone = await session.run(one, 1);
    const together = await session.run(pictures, batchSize);
    const isSame = alone.every((number, index) => number === together[index]);
    contenders.push({ name, session, alone, isSame, singles: [], batches: [] });
  }
  for (let round = 0; round < rounds; round += 1) {
    for (const { session, singles, batches } of contenders) {
      singles.push(await speedOf(session, one, 1));
      batches.push(await speedOf(session, pictures, batchSize));
    }
  }
  yield `${threads} thread${threads === 1 ? "" : "s"}, images/s: median (least to most) of ${rounds} rounds`;
  const exact = contenders[0]?.alone ?? new Float32Array();
  for (const { name, singles, batches, alone, isSame } of contenders) {
    const cosine = cosineSimilarity(alone, exact).toFixed(6);
    yield `  ${name.padEnd(29)} single ${withRange(singles, 1)}  batch of ${batchSize} ${withRange(batches, 1)}  cosine ${cosine}  ${isSame ? "the same bits" : "OTHER BITS"} in a batch`;
  }
  const [plain, ours, , int8] = contenders;
  if (plain !== undefined && ours !== undefined && int8 !== undefined) {
    const on = `on ${threads} thread${threads === 1 ? "" : "s"}, images/s`;
    const batches = `batches of ${batchSize} ${on}`;
    const toPlain = "the graph as exporters write it, fp32";
    yield* findingsHead;
    yield verdict(`our graph, fp32, ${batches}`, ours.batches, toPlain, plain.batches, 1.05);
    yield verdict(`our graph, int8, ${batches}`, int8.batches, "our graph, fp32", ours.batches, 3);
    yield verdict(
      `our graph, int8, singles ${on}`,
      int8.singles,
      "our graph, fp32",
      ours.singles,
      3,
    );
  }
  for (const { session } of contenders) await session.release();
}

/** Images a second, once the threads of the session that ran before have stopped waiting for work with a core busy. */
async function speedOf(session: ImageSession, pixels: Float32Array, count: number) {
  await Bun.sleep(msToSleep);
  await session.run(pixels, count);
  const startedAt = performance.now();
  let runs = 0;
  while (performance.now() - startedAt < msEach) {
    await session.run(pixels, count);
    runs += 1;
  }
  return (1000 * runs * count) / (performance.now() - startedAt);
}

/** A graph beside another, of each round's two speeds: what else the machine does falls on both. */
function verdict(
  what: string,
  speeds: readonly number[],
  reference: string,
  references: readonly number[],
  wanted: number,
): string {
  const compared = ratios(speeds, references);
  return findingRow({
    what,
    measured: withRange(speeds, 1),
    reference: `${reference}: ${withRange(references, 1)}`,
    compared: withRange(compared, 2),
    wanted: `at least ${wanted}`,
    isMet: median(compared) >= wanted,
  });
}
