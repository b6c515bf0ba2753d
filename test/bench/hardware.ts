import { availableParallelism } from "node:os";
import type { ClipArchitecture } from "../../src/models/onnx/architecture.ts";
import { defaultModel } from "../support/default-model.ts";
import { startChild } from "./child.ts";
import { clientCount, startLoad } from "./load.ts";
import type { MatrixAnswer, MatrixQuestion } from "./matrix-child.ts";
import { createPhotos, photoSize } from "./photo.ts";
import { startReference } from "./reference.ts";
import { tableHead, tableRow } from "./report.ts";
import { startService } from "./server.ts";
import { ratios, withRange } from "./statistics.ts";

const rounds = 5;
const batch = 8;
const matrixMs = 1500;
const referenceMs = 2000;
const loadMs = 3000;

/** How close the service is to how fast onnxruntime computes nothing but the model's largest matrix product. */
export async function* hardware(): AsyncGenerator<string> {
  const cores = availableParallelism();
  const each = operationsPerImage(defaultModel.architecture);
  const nextPhoto = await createPhotos();
  const children = Array.from({ length: cores }, () =>
    startChild<MatrixQuestion, MatrixAnswer>({ args: ["test/bench/matrix-child.ts"] }),
  );
  await using stack = new AsyncDisposableStack();
  for (const child of children) stack.use(child);
  await using reference = await startReference({ sessions: cores, threads: 1 });
  await using service = await startService("synthetic");
  const rates = { product: [] as number[], bare: [] as number[], served: [] as number[] };
  for (let round = 0; round < rounds; round += 1) {
    const products = await Promise.all(children.map((child) => child.ask({ forMs: matrixMs })));
    rates.product.push(products.reduce((sum, rate) => sum + rate) / 1e9);
    const bare = await reference.observe(batch, referenceMs);
    rates.bare.push((bare.imagesPerS * each) / 1e9);
    await using load = await startLoad(service, nextPhoto);
    rates.served.push(((await load.observe(loadMs)).imagesPerS * each) / 1e9);
  }
  yield `an image takes ${(each / 1e9).toFixed(2)} GFLOP in float32 (an addition and a multiplication are two); ${cores} cores, ${rounds} rounds of each in turn: median (least to most)`;
  yield* tableHead(["what", "GFLOP/s", "of the product alone"]);
  const rowOf = (what: string, values: readonly number[]) =>
    tableRow([what, withRange(values, 0), withRange(ratios(values, rates.product), 2)]);
  yield rowOf(
    "the largest matrix product of 8 images alone (the MLP's), one a core",
    rates.product,
  );
  yield rowOf(
    `the image tower in bare onnxruntime, a session a core, batches of ${batch}`,
    rates.bare,
  );
  yield rowOf(
    `the service, ${clientCount} clients, JPEG ${photoSize.width}×${photoSize.height}`,
    rates.served,
  );
}

/** Operations of all matrix products, as the graph has them: the last layer computes the class token alone. */
export function operationsPerImage({ dimensions, vision }: ClipArchitecture): number {
  const { width, mlp, layers, side, patch } = vision;
  const patches = (side / patch) ** 2;
  const tokens = patches + 1;
  const layer = (rows: number): number => {
    const keysAndValues = 2 * tokens * width ** 2;
    const queriesAndOutput = 2 * rows * width ** 2;
    const attention = 2 * rows * tokens * width;
    return keysAndValues + queriesAndOutput + attention + 2 * rows * width * mlp;
  };
  const embedding = patches * 3 * patch ** 2 * width;
  return 2 * (embedding + (layers - 1) * layer(tokens) + layer(1) + width * dimensions);
}
