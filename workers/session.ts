import { basename } from "node:path";
import type { InferenceSession, OnnxValue } from "onnxruntime-node";
import type { ClipModelFile, ClipTextModelFile } from "../src/backends/protocol.ts";
import { Problem } from "../src/errors.ts";
import { isStillChecked } from "../src/models/checked-files.ts";
import { disableOrtTelemetry } from "../src/native/telemetry.ts";

/** A loaded image tower. */
export interface ImageSession {
  /**
   * Embeds prepared pictures. Blocks the thread while it computes.
   *
   * @param pixelValues float32, [count, 3, side, side].
   * @returns float32, [count, dimensions], as the model gives it, in memory of its own.
   * @throws Problem if the model gives another shape, or a number that is not finite: it is broken.
   */
  run(pixelValues: Float32Array, count: number): Promise<Float32Array<ArrayBuffer>>;
  /** Frees the model's memory; nothing may run then or later. */
  release(): Promise<void>;
}

/** A loaded text tower. */
export interface TextSession {
  /**
   * Embeds sequences of one length. Blocks the thread while it computes.
   *
   * @param inputIds int64, [count, length].
   * @returns float32, [count, dimensions], as the model gives it, in memory of its own.
   * @throws Problem if the model gives another shape, or a number that is not finite: it is broken.
   */
  run(inputIds: BigInt64Array, count: number, length: number): Promise<Float32Array<ArrayBuffer>>;
  /** Frees the model's memory; nothing may run then or later. */
  release(): Promise<void>;
}

/** An image tower, and how to run it. */
export type ImageTower = Pick<ClipModelFile, "imageTower" | "dimensions" | "side" | "threads">;

/** What a tower's graph is fed and gives, by its own names. */
interface TowerNames {
  readonly tower: "image" | "text";
  readonly input: string;
  /** Fed where the graph has it. */
  readonly mayHave: readonly string[];
  readonly output: string;
}

const imageNames = {
  tower: "image",
  input: "pixel_values",
  mayHave: [],
  output: "image_embeds",
} as const satisfies TowerNames;

const textNames = {
  tower: "text",
  input: "input_ids",
  mayHave: ["attention_mask"],
  output: "text_embeds",
} as const satisfies TowerNames;

/**
 * Loads an image tower for the CPU.
 *
 * @throws Error of onnxruntime if the file is missing or broken; Problem if its graph is another one, or
 *   it was changed since it was checked.
 */
export async function createSession(model: ImageTower): Promise<ImageSession> {
  const { Tensor } = await loadOnnxruntime();
  const session = await openTower(imageNames, model.imageTower, model.threads);
  return {
    async run(pixelValues, count) {
      const shape = [count, 3, model.side, model.side];
      const feeds = { pixel_values: new Tensor("float32", pixelValues, shape) };
      const { image_embeds: output } = await session.run(feeds, [imageNames.output]);
      return checkedVectors("image", output, [count, model.dimensions]);
    },
    release: () => session.release(),
  };
}

/**
 * Loads a text tower for the CPU.
 *
 * @throws Error of onnxruntime if the file is missing or broken; Problem if its graph is another one, or
 *   it was changed since it was checked.
 */
export async function createTextSession(model: ClipTextModelFile): Promise<TextSession> {
  const { Tensor } = await loadOnnxruntime();
  const session = await openTower(textNames, model.textTower, model.threads);
  const wantsMask = session.inputNames.includes("attention_mask");
  return {
    async run(inputIds, count, length) {
      const ids = new Tensor("int64", inputIds, [count, length]);
      // Nothing that follows a text's end token changes its vector, so nothing needs to be masked.
      const mask = () =>
        new Tensor(
          "int64",
          inputIds.map(() => 1n),
          [count, length],
        );
      const feeds = wantsMask ? { input_ids: ids, attention_mask: mask() } : { input_ids: ids };
      const { text_embeds: output } = await session.run(feeds, [textNames.output]);
      return checkedVectors("text", output, [count, model.dimensions]);
    },
    release: () => session.release(),
  };
}

/** Opens a tower whose graph takes and gives what it should. Further outputs are not computed. */
async function openTower(
  { tower, input, mayHave, output }: TowerNames,
  path: string,
  threads: number,
): Promise<InferenceSession> {
  // A worker that comes later, or the first text, must not load what was changed since the start.
  for (const file of [path, `${path}.data`]) {
    if (!(await isStillChecked(file))) {
      throw unusable(
        `${basename(file)} was changed since it was checked: start the service again, which makes it anew or says what is missing`,
      );
    }
  }
  const session = await openSession(path, threads);
  const { inputNames, outputNames } = session;
  const others = inputNames.filter((name) => name !== input && !mayHave.includes(name));
  if (inputNames.includes(input) && others.length === 0 && outputNames.includes(output)) {
    return session;
  }
  await session.release();
  throw unusable(
    `the ${tower} tower turns ${inputNames.join(", ")} into ${outputNames.join(", ")} instead of ${input} into ${output}`,
  );
}

/** A model that was made by another program, or is broken. */
function unusable(why: string): Problem {
  return new Problem("model-unavailable", `The model cannot be used: ${why}.`);
}

async function openSession(path: string, threads: number): Promise<InferenceSession> {
  const { InferenceSession } = await loadOnnxruntime();
  return InferenceSession.create(path, {
    executionProviders: ["cpu"],
    executionMode: "sequential",
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    // Its errors are thrown as well, and the log's lines are ours.
    logSeverityLevel: 4,
  });
}

/** Copies a tower's output out of onnxruntime's memory, once it is what a whole model gives. */
function checkedVectors(
  tower: "image" | "text",
  output: OnnxValue | undefined,
  shape: readonly number[],
): Float32Array<ArrayBuffer> {
  if (!(output?.data instanceof Float32Array) || output.dims.join() !== shape.join()) {
    const given = `${output?.type} [${output?.dims}]`;
    throw unusable(`the ${tower} tower gave ${given} instead of float32 [${shape}]`);
  }
  if (!output.data.every(Number.isFinite)) {
    throw unusable(`the ${tower} tower gave a number that is not finite`);
  }
  return new Float32Array(output.data);
}

/** onnxruntime reads the telemetry switch when its library loads, so it is loaded after that is set. */
async function loadOnnxruntime(): Promise<typeof import("onnxruntime-node")> {
  disableOrtTelemetry();
  return import("onnxruntime-node");
}
