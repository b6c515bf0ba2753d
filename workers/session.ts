import { existsSync } from "node:fs";
import { basename, dirname } from "node:path";
import type { InferenceSession, OnnxValue } from "onnxruntime-node";
import type { ClipModelFile, ClipTextModelFile } from "../src/backends/protocol.ts";
import { Problem } from "../src/errors.ts";
import { hasCheckedFiles, isAsChecked } from "../src/models/checked-files.ts";
import { loadOnnxruntime, type OwnOptions, openSession } from "./onnxruntime.ts";

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
export type ImageTower = Pick<
  ClipModelFile,
  "imageTower" | "packedImageTower" | "dimensions" | "side" | "threads"
>;

/** A text tower, and how to run it. */
export type TextTower = Omit<ClipTextModelFile, "skipsPadding">;

/** How a packed tower is opened: it was optimised when it was packed. */
export const packedOptions: OwnOptions = { graphOptimizationLevel: "disabled" };

/**
 * How the session of all cores is opened: its threads sleep once they are done. Otherwise they wait for the next
 * inference for 25 ms with the cores busy, which the main thread and the other workers need then. That is as soon
 * done for one picture after another, with two thirds of the processor time.
 *
 * @see onnxruntime's `onnxruntime_session_options_config_keys.h`.
 */
export const wideOptions: OwnOptions = { extra: { session: { force_spinning_stop: "1" } } };

/** A tower's file, and the same packed, where that was done. */
interface TowerFile {
  readonly path: string;
  readonly packed: string | undefined;
  readonly threads: number;
}

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
 * @param own further options; which optimisations are done is not asked of a packed tower.
 * @throws Error of onnxruntime if the file is missing or broken; Problem if its graph is another one, or
 *   it was changed since it was checked.
 */
export async function createSession(
  model: ImageTower,
  own: OwnOptions = {},
): Promise<ImageSession> {
  const { Tensor } = await loadOnnxruntime();
  const { imageTower: path, packedImageTower: packed, threads } = model;
  const session = await openTower(imageNames, { path, packed, threads }, own);
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
 * @param own further options; which optimisations are done is not asked of a packed tower.
 * @throws Error of onnxruntime if the file is missing or broken; Problem if its graph is another one, or
 *   it was changed since it was checked.
 */
export async function createTextSession(
  model: TextTower,
  own: OwnOptions = {},
): Promise<TextSession> {
  const { Tensor } = await loadOnnxruntime();
  const { textTower: path, packedTextTower: packed, threads } = model;
  const session = await openTower(textNames, { path, packed, threads }, own);
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
  names: TowerNames,
  { path, packed, threads }: TowerFile,
  own: OwnOptions,
): Promise<InferenceSession> {
  const opened = packed === undefined ? undefined : await openPacked(names, packed, threads, own);
  if (opened !== undefined) return opened;
  // A worker that comes later, or the first text, must not load what was changed since the start.
  return hasCheckedFiles(dirname(path))
    ? await openChecked(path, () => openGraph(names, path, threads, own))
    : await openGraph(names, path, threads, own);
}

/**
 * Opens a tower whose files are those that were checked. They are looked at once more when it is open, since
 * onnxruntime opens them by their names: it finds the tensors beside the graph, and so takes no path through
 * /proc/self/fd. What remains is a file that is swapped and swapped back meanwhile, or written into once it is
 * mapped; files are read-only, so it takes the service's own user, who could change the record too.
 *
 * @throws Problem where a file is another, or was not checked.
 */
async function openChecked(
  path: string,
  open: () => Promise<InferenceSession>,
): Promise<InferenceSession> {
  await refuseUnchecked(path);
  const session = await open();
  try {
    await refuseUnchecked(path);
    return session;
  } catch (error) {
    await session.release();
    throw error;
  }
}

async function refuseUnchecked(path: string): Promise<void> {
  const data = `${path}.data`;
  // Where a graph is small, or others made it, all of it is in its one file.
  for (const file of existsSync(data) ? [path, data] : [path]) {
    if (await isAsChecked(file)) continue;
    throw unusable(
      `${basename(file)} was changed since it was checked: start the service again, which makes it anew or says what is missing`,
    );
  }
}

/** Opens a packed tower; not one that was changed or taken away under the service, as by a newer version of it. */
async function openPacked(
  names: TowerNames,
  path: string,
  threads: number,
  own: OwnOptions,
): Promise<InferenceSession | undefined> {
  try {
    return await openChecked(path, () =>
      openGraph(names, path, threads, { ...own, ...packedOptions }),
    );
  } catch {
    return undefined;
  }
}

async function openGraph(
  { tower, input, mayHave, output }: TowerNames,
  path: string,
  threads: number,
  own: OwnOptions,
): Promise<InferenceSession> {
  const session = await openSession(path, threads, own);
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
