/** Bare onnxruntime on the cores that the service has: the reference of the speed figures. */
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { shapeOf } from "../../src/backends/shape.ts";
import { seededTensors } from "../../src/models/seeded-tensors.ts";
import { writeGraph } from "../../workers/write-model.ts";
import { defaultModel, prepareSynthetic } from "../support/default-model.ts";
import { testModelsDir } from "../support/service.ts";
import type { BareAnswer, BareQuestion } from "./bare-onnxruntime.ts";
import { startChild } from "./child.ts";
import { plainImageTower } from "./plain-graph.ts";
import { processorMs } from "./process-usage.ts";

/** Some sessions of one tower, each in a process of its own, that run at the same time. */
export interface Reference extends AsyncDisposable {
  /** Sessions × threads of each. */
  readonly shape: string;
  /** Runs all sessions for about `forMs`. @param lengths tokens of the texts of each inference, by turns. */
  observe(batch: number, forMs: number, lengths?: readonly number[]): Promise<Speed>;
  /** ms that each inference took, over about `forMs`. */
  inferenceMs(batch: number, forMs: number): Promise<readonly number[]>;
}

/** How fast images, or texts, went through. */
export interface Speed {
  readonly imagesPerS: number;
  /** ms of processor time, all threads together, that each took. */
  readonly processorMsPerImage: number;
}

/** Every core in one session, and shared among as many sessions as the service has workers. */
export function referenceShapes() {
  const cores = availableParallelism();
  const { workers, threads } = shapeOf(cores, 0);
  return {
    oneSession: { sessions: 1, threads: cores },
    manySessions: { sessions: workers, threads },
  };
}

/** Starts the sessions and runs each once. */
export async function startReference(
  shape: { readonly sessions: number; readonly threads: number },
  tower: "imageTower" | "textTower" | "plainImageTower" = "imageTower",
): Promise<Reference> {
  const path = tower === "plainImageTower" ? await writePlain() : await ownTower(tower);
  const args = ["test/bench/bare-onnxruntime.ts", path, String(shape.threads)];
  const children = Array.from({ length: shape.sessions }, () =>
    startChild<BareQuestion, BareAnswer>({ args }),
  );
  const askAll = (question: BareQuestion) =>
    Promise.all(children.map((child) => child.ask(question)));
  const usedMs = async () =>
    sum(await Promise.all(children.map((child) => processorMs(child.pid))));
  await askAll({ batch: 1, forMs: 1, lengths: tower === "textTower" ? [1] : undefined });
  return {
    shape: `${shape.sessions}×${shape.threads}`,
    observe: async (batch, forMs, lengths) => {
      const before = await usedMs();
      const answers = await askAll({ batch, forMs, lengths });
      const images = batch * answers.flat().length;
      return {
        imagesPerS: sum(answers.map((tookMs) => (tookMs.length * batch * 1000) / sum(tookMs))),
        processorMsPerImage: ((await usedMs()) - before) / images,
      };
    },
    inferenceMs: async (batch, forMs) => (await askAll({ batch, forMs })).flat(),
    [Symbol.asyncDispose]: async () => {
      await Promise.all(children.map((child) => child[Symbol.asyncDispose]()));
    },
  };
}

async function ownTower(tower: "imageTower" | "textTower"): Promise<string> {
  return (await prepareSynthetic(join(testModelsDir, "synthetic")))[tower];
}

/** The image tower as exporters write it, which is what one would run without this service. */
async function writePlain(): Promise<string> {
  const path = join(testModelsDir, "plain-image.onnx");
  const graph = plainImageTower(defaultModel.architecture, "fp32");
  await writeGraph(path, graph, seededTensors("imagesvc"));
  return path;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
