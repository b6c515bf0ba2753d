/** A worker without a thread: its test answers, or does not. */
import type { Worker } from "../../src/backends/pool.ts";
import type {
  Answers,
  ClipModelFile,
  EmbedOutcome,
  ImageBytes,
  ModelToWrite,
  Task,
  WrittenModel,
} from "../../src/backends/protocol.ts";
import { tinyClip } from "./tiny-clip.ts";

/** A task that a worker was given and that waits for the test's answer. */
export interface HeldTask {
  readonly task: Task;
  readonly transfer: readonly ArrayBuffer[];
  answer(value: Answers[Task["kind"]]): void;
  fail(error: Error): void;
}

interface FakeWorkerOptions {
  /** What a warm-up does; nothing, at once, unless told. */
  readonly onWarmUp?: (model: ClipModelFile | undefined) => Promise<void>;
  /** Whether the session of all cores can be opened; at once that it is, unless told. */
  readonly onOpenWide?: () => Promise<boolean>;
  /** What writing the model gives; two file names, at once, unless told. */
  readonly onWriteModel?: () => Promise<WrittenModel>;
  /** What a ping answers; at once that the worker is warm, unless told. */
  readonly onPing?: () => Promise<Answers["ping"]>;
}

export interface FakeWorker extends Worker {
  /** Every task so far, in order. */
  readonly tasks: readonly Task[];
  readonly isClosed: boolean;
  /** The next task with images, as soon as the worker has it. */
  next(): Promise<HeldTask>;
  /** Tells that its thread has died, and that another takes its place. */
  die(): void;
}

/** What a warm-up loads where no model is opened. */
export const anyModel: ClipModelFile = {
  imageTower: "image.onnx",
  dimensions: 1,
  side: 1,
  mean: [0, 0, 0],
  std: [1, 1, 1],
  threads: 1,
};

/** A model to write where none is written. */
export const anyModelToWrite: ModelToWrite = {
  folder: "models",
  from: { kind: "seed", architecture: tinyClip },
};

/** Makes one. Tasks with images are held until `next` hands them to the test. */
export function createFakeWorker(options: FakeWorkerOptions = {}): FakeWorker {
  const { onWarmUp = async () => {}, onWriteModel = async () => written } = options;
  const { onPing = async () => ({ isWarm: true }), onOpenWide = async () => true } = options;
  const deathListeners: (() => void)[] = [];
  const written = { imageTower: "image.onnx", textTower: "text.onnx" };
  const tasks: Task[] = [];
  const held: HeldTask[] = [];
  let wake = () => {};
  let isClosed = false;

  function run(task: Task, transfer: readonly ArrayBuffer[] = []): Promise<never> {
    const { promise, resolve, reject } = Promise.withResolvers<never>();
    const answer = (value: unknown) => Reflect.apply(resolve, undefined, [value]);
    tasks.push(task);
    if (task.kind === "warm-up") {
      onWarmUp(task.model).then(() => answer({ warmUpMs: 0 }), reject);
    } else if (task.kind === "open-wide") {
      onOpenWide().then((isOpen) => answer({ isOpen }), reject);
    } else if (task.kind === "write-model") {
      onWriteModel().then(answer, reject);
    } else if (task.kind === "ping") {
      onPing().then(answer, reject);
    } else {
      held.push({ task, transfer, answer, fail: reject });
      wake();
    }
    return promise;
  }

  async function next(): Promise<HeldTask> {
    const one = held.shift();
    if (one !== undefined) return one;
    await new Promise<void>((resolve) => {
      wake = resolve;
    });
    return await next();
  }

  return {
    tasks,
    get isClosed() {
      return isClosed;
    },
    run,
    next,
    onDeath: (listener) => void deathListeners.push(listener),
    die: () => deathListeners.forEach((listener) => void listener()),
    close: async () => {
      isClosed = true;
    },
  };
}

/** A picture of one byte, by which its outcome is known again. */
export function imageOf(mark: number): ImageBytes & { readonly kind: "memory" } {
  return { kind: "memory", bytes: new Uint8Array([mark]), sha256: `digest of ${mark}` };
}

/** The marks of the images that a task brings. */
export function marksOf({ task }: Pick<HeldTask, "task">): number[] {
  if (task.kind === "prepare-upstream") return [markOf(task.image)];
  return task.kind === "embed-images" ? task.images.map(markOf) : [];
}

/** Answers a held `embed-images`: each image's vector is its mark. */
export function answerMarks(held: HeldTask): void {
  held.answer(marksOf(held).map(outcomeOf));
}

/** What becomes of the image with this mark. */
export function outcomeOf(mark: number): EmbedOutcome {
  const vector = new Float32Array([mark]);
  return { result: { vector }, timings: { decodeMs: 1, inferMs: 1 } };
}

function markOf(image: ImageBytes): number {
  return image.kind === "memory" ? (image.bytes[0] ?? -1) : -1;
}
