/**
 * The tasks of a worker thread. Each worker holds one onnxruntime session of its share of the cores, another one
 * once it is asked for texts, and one of them a session of all cores; it runs one task at a time. What it keeps
 * between tasks lives in the closure below, and dies with the thread.
 */
import { move, transferableSymbol, valueSymbol } from "piscina";
import type {
  AlsoWanted,
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
import { trimHeap } from "../src/native/heap.ts";
import { yieldToMainThread } from "../src/native/thread-priority.ts";
import { type CoreGate, createCoreGate } from "./core-gate.ts";
import { configureSharp, openImage } from "./decode.ts";
import { type Decoded, decodeBatch } from "./decode-batch.ts";
import { createInputBuffers, type InputBuffers } from "./input-buffers.ts";
import { readModelInputs } from "./model-inputs.ts";
import { prepareModel } from "./prepare-model.ts";
import { createPreprocess, type Preprocess } from "./preprocess.ts";
import { problemMessage } from "./problem-message.ts";
import { reportOn } from "./report.ts";
import { createSession, type ImageSession, wideOptions } from "./session.ts";
import { fitForUpstream, prepareUpstream, startPicture } from "./shrink-to-jpeg.ts";
import { createTextEmbedder } from "./text-embedder.ts";

interface LoadedModel {
  readonly file: ClipModelFile;
  readonly session: ImageSession;
  readonly preprocess: Preprocess;
  /** Of all cores. */
  wide?: ImageSession | undefined;
  readonly inputs: InputBuffers;
}

type EmbedImages = Extract<Task, { kind: "embed-images" }>;

/** Every task's handler, by the task's kind. */
type Handlers = {
  readonly [Kind in Task["kind"]]: (task: Extract<Task, { kind: Kind }>) => Promise<Answers[Kind]>;
};

function createHandlers(): Handlers {
  let loaded: LoadedModel | undefined;
  let gate = createCoreGate(new Int32Array(new SharedArrayBuffer(4)));
  const textEmbedder = createTextEmbedder();
  configureSharp();
  return {
    ping: async () => ({ isWarm: loaded !== undefined }),
    "warm-up": async ({ model, cores }) => {
      const startedMs = performance.now();
      if (cores !== undefined) gate = createCoreGate(cores);
      await loaded?.session.release();
      await loaded?.wide?.release();
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
    "open-wide": async () => {
      // What cannot be opened is done without: the other session does the same, only slower.
      if (loaded !== undefined) loaded.wide ??= await openWide(loaded.file).catch(() => undefined);
      return { isOpen: loaded?.wide !== undefined };
    },
    "write-model": ({ model, stop }) => prepareModel(model, stop),
    "embed-images": ({ isAlone, ...task }) => {
      if (loaded === undefined) throw new Error("embed-images before a warm-up with a model");
      const { wide, ...model } = loaded;
      return embedImages(isAlone ? loaded : model, gate, task);
    },
    "embed-texts": ({ model, texts }) => textEmbedder.embed(model, gate, texts),
    "prepare-upstream": ({ image, decode, ...terms }) => prepareUpstream(image, decode, terms),
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
  trimHeap();
  const inputs = createInputBuffers(limits.maxBatch * 3 * file.side * file.side);
  return { file, session, preprocess: createPreprocess(file), inputs };
}

/** Opens the session of all cores. @returns undefined where no picture should be inferred so. */
async function openWide(file: ClipModelFile): Promise<ImageSession | undefined> {
  const { wideThreads: threads } = file;
  if (threads === undefined) return undefined;
  return await createSession({ ...file, threads }, wideOptions).finally(trimHeap);
}

async function embedImages(
  model: LoadedModel,
  gate: CoreGate,
  { images, decode, also = [] }: Pick<EmbedImages, "images" | "decode" | "also">,
): Promise<readonly EmbedOutcome[]> {
  const { file, preprocess, inputs } = model;
  const stride = 3 * file.side * file.side;
  const pixelValues = inputs.take(images.length * stride);
  const decoded = await decodeBatch(images, limits.decodeTimeoutMs, (image, row, index) => {
    const into = { pixelValues, offset: row * stride, preprocess };
    return decodeInto(into, image, decode, also[index]);
  });
  const rows = decoded.filter(({ problem }) => problem === undefined).length;
  const startedMs = performance.now();
  const { vectors, threads: inferThreads } =
    rows === 0
      ? { vectors: new Float32Array(), threads: 0 }
      : await infer(model, gate, pixelValues.subarray(0, rows * stride), rows);
  inputs.giveBack(pixelValues);
  const inferMs = performance.now() - startedMs;
  let row = 0;
  return decoded.map(({ problem, ...outcome }) => {
    const timings = { ...outcome.timings, inferMs };
    if (problem !== undefined) return { ...outcome, timings, result: { problem } };
    const vector = vectors.slice(row * file.dimensions, (row + 1) * file.dimensions);
    row += 1;
    return { ...outcome, timings: { ...timings, inferThreads }, result: { vector } };
  });
}

/** Infers on all cores where that may be and nobody else is at it, else on this worker's share of them. */
async function infer(
  { file, session, wide }: LoadedModel,
  gate: CoreGate,
  pixelValues: Float32Array,
  rows: number,
) {
  const { threads, wideThreads = threads } = file;
  const alone = wide && gate.onAll(() => wide.run(pixelValues, rows));
  if (alone !== undefined) return { vectors: await alone, threads: wideThreads };
  return { vectors: await gate.onShare(() => session.run(pixelValues, rows)), threads };
}

/** Where one image's pixels go. */
interface Row {
  readonly pixelValues: Float32Array;
  readonly offset: number;
  readonly preprocess: Preprocess;
}

async function decodeInto(
  { pixelValues, offset, preprocess }: Row,
  image: ImageBytes,
  options: DecodeOptions,
  { maxBase64Chars, isReported }: AlsoWanted = {},
): Promise<Decoded> {
  const startedMs = performance.now();
  const bytes = image.kind === "memory" ? { bytes: image.bytes } : {};
  const timings = () => ({ decodeMs: performance.now() - startedMs, inferMs: 0 });
  try {
    const opened = await openImage(image, options);
    const picture = maxBase64Chars === undefined ? undefined : startPicture(opened);
    const view = await preprocess(opened, pixelValues, offset, picture);
    const { facts } = opened;
    const report = isReported && { report: await reportOn(image, opened, view) };
    const prepared = picture && {
      prepared: await fitForUpstream(image, opened, picture.finish(), options, {
        maxBase64Chars: maxBase64Chars ?? 0,
      }).catch((error: unknown) => ({ problem: problemMessage(error) })),
    };
    return { ...bytes, ...report, ...prepared, facts, timings: timings() };
  } catch (error) {
    const problem = problemMessage(error);
    const prepared = maxBase64Chars === undefined ? {} : { prepared: { problem } };
    return { ...bytes, ...prepared, problem, timings: timings() };
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
    case "open-wide":
      return handlers["open-wide"](task);
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
  for (const one of "prepared" in outcome ? [result, outcome.prepared] : [result]) {
    const isOwn = one !== undefined && "image" in one && one.image.buffer !== bytes?.buffer;
    if (isOwn) buffers.push(one.image.buffer);
  }
  return buffers;
}
