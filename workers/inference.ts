/**
 * The tasks of a worker thread. Each worker holds one onnxruntime session, a second one once it is asked
 * for texts, and runs one task at a time; what it keeps between tasks lives in the closure below, and
 * dies with the thread.
 */
import { move, transferableSymbol, valueSymbol } from "piscina";
import type {
  Answers,
  ClipModelFile,
  DecodeOptions,
  EmbedOutcome,
  ImageBytes,
  PreparedOutcome,
  Task,
  TextOutcome,
} from "../src/backends/protocol.ts";
import { Problem } from "../src/errors.ts";
import { limits } from "../src/limits.ts";
import { yieldToMainThread } from "../src/native/thread-priority.ts";
import { configureSharp, openImage } from "./decode.ts";
import { type Decoded, decodeBatch } from "./decode-batch.ts";
import { createInputBuffers, type InputBuffers } from "./input-buffers.ts";
import { readModelInputs } from "./model-inputs.ts";
import { prepareModel } from "./prepare-model.ts";
import { createPreprocess, type Preprocess } from "./preprocess.ts";
import { problemMessage } from "./problem-message.ts";
import { createSession, type ImageSession } from "./session.ts";
import { prepareUpstream } from "./shrink-to-jpeg.ts";
import { createTextEmbedder } from "./text-embedder.ts";

interface LoadedModel {
  readonly file: ClipModelFile;
  readonly session: ImageSession;
  readonly preprocess: Preprocess;
  readonly inputs: InputBuffers;
}

/** Every task's handler, by the task's kind. */
type Handlers = {
  readonly [Kind in Task["kind"]]: (task: Extract<Task, { kind: Kind }>) => Promise<Answers[Kind]>;
};

function createHandlers(): Handlers {
  let loaded: LoadedModel | undefined;
  const textEmbedder = createTextEmbedder();
  configureSharp();
  return {
    ping: async () => ({ isWarm: loaded !== undefined }),
    "warm-up": async ({ model }) => {
      const startedMs = performance.now();
      await loaded?.session.release();
      loaded = undefined;
      await textEmbedder.release();
      try {
        if (model !== undefined) loaded = await load(model);
      } catch (error) {
        // What cannot be used is told of by its name; anything else is nobody's expectation.
        if (error instanceof Problem) return { problem: problemMessage(error) };
        throw error;
      }
      return { warmUpMs: performance.now() - startedMs };
    },
    "write-model": ({ model, stop }) => prepareModel(model, stop),
    "embed-images": ({ images, decode }) => {
      if (loaded === undefined) throw new Error("embed-images before a warm-up with a model");
      return embedImages(loaded, images, decode);
    },
    "embed-texts": ({ model, texts }) => textEmbedder.embed(model, texts),
    "prepare-upstream": ({ image, decode, maxBase64Chars }) =>
      prepareUpstream(image, decode, maxBase64Chars),
    "read-inputs": readModelInputs,
  };
}

/** Opens a model and runs it once. @throws Problem if it does not give what it should. */
async function load(file: ClipModelFile): Promise<LoadedModel> {
  const session = await createSession(file);
  try {
    await session.run(new Float32Array(3 * file.side * file.side), 1);
  } catch (error) {
    await session.release();
    throw error;
  }
  const inputs = createInputBuffers(limits.maxBatch * 3 * file.side * file.side);
  return { file, session, preprocess: createPreprocess(file), inputs };
}

async function embedImages(
  { file, session, preprocess, inputs }: LoadedModel,
  images: readonly ImageBytes[],
  decode: DecodeOptions,
): Promise<readonly EmbedOutcome[]> {
  const stride = 3 * file.side * file.side;
  const pixelValues = inputs.take(images.length * stride);
  const decoded = await decodeBatch(images, limits.decodeTimeoutMs, (image, row) =>
    decodeInto(pixelValues, row * stride, image, decode, preprocess),
  );
  const rows = decoded.filter(({ problem }) => problem === undefined).length;
  const startedMs = performance.now();
  const vectors =
    rows === 0
      ? new Float32Array()
      : await session.run(pixelValues.subarray(0, rows * stride), rows);
  inputs.giveBack(pixelValues);
  const inferMs = performance.now() - startedMs;
  let row = 0;
  return decoded.map(({ problem, ...outcome }) => {
    const timings = { ...outcome.timings, inferMs };
    if (problem !== undefined) return { ...outcome, timings, result: { problem } };
    const vector = vectors.slice(row * file.dimensions, (row + 1) * file.dimensions);
    row += 1;
    return { ...outcome, timings, result: { vector } };
  });
}

async function decodeInto(
  pixelValues: Float32Array,
  offset: number,
  image: ImageBytes,
  options: DecodeOptions,
  preprocess: Preprocess,
): Promise<Decoded> {
  const startedMs = performance.now();
  const bytes = image.kind === "memory" ? { bytes: image.bytes } : {};
  try {
    const opened = await openImage(image, options);
    await preprocess(opened, pixelValues, offset);
    const { facts } = opened;
    return { ...bytes, facts, timings: { decodeMs: performance.now() - startedMs, inferMs: 0 } };
  } catch (error) {
    const timings = { decodeMs: performance.now() - startedMs, inferMs: 0 };
    return { ...bytes, problem: problemMessage(error), timings };
  }
}

// Before onnxruntime starts its threads: they inherit it.
yieldToMainThread();
const handlers = createHandlers();

/** Entry point for piscina: runs one task and gives its buffers back by transfer. */
export async function handle(task: Task): Promise<object> {
  const answer = await run(task);
  return move({ [transferableSymbol]: buffersOf(answer), [valueSymbol]: answer });
}

function run(task: Task): Promise<Answers[Task["kind"]]> {
  switch (task.kind) {
    case "ping":
      return handlers.ping(task);
    case "warm-up":
      return handlers["warm-up"](task);
    case "write-model":
      return handlers["write-model"](task);
    case "embed-images":
      return handlers["embed-images"](task);
    case "embed-texts":
      return handlers["embed-texts"](task);
    case "prepare-upstream":
      return handlers["prepare-upstream"](task);
    case "read-inputs":
      return handlers["read-inputs"](task);
    default:
      return task satisfies never;
  }
}

function buffersOf(answer: Answers[Task["kind"]]): ArrayBuffer[] {
  if (Array.isArray(answer)) return answer.flatMap(outcomeBuffers);
  return "result" in answer ? outcomeBuffers(answer) : [];
}

function outcomeBuffers(outcome: EmbedOutcome | TextOutcome | PreparedOutcome): ArrayBuffer[] {
  if (!("result" in outcome)) return [outcome.vector.buffer];
  const { bytes, result } = outcome;
  const buffers = bytes === undefined ? [] : [bytes.buffer];
  if ("vector" in result) buffers.push(result.vector.buffer);
  if ("image" in result && result.image.buffer !== bytes?.buffer) buffers.push(result.image.buffer);
  return buffers;
}
