/**
 * A worker module that does what its images say, for tests of real threads. It holds no model: a
 * warm-up only remembers its own, and fails where that is named "broken".
 */
import { dlopen, FFIType } from "bun:ffi";
import { threadId } from "node:worker_threads";
import { move, transferableSymbol, valueSymbol } from "piscina";
import type { EmbedOutcome, ImageBytes, Task } from "../../src/backends/protocol.ts";

interface Thread {
  isWarm: boolean;
}

/** Entry point for piscina. */
export const handle = createHandle({ isWarm: false });

function createHandle(thread: Thread) {
  return async (task: Task): Promise<unknown> => {
    if (task.kind === "warm-up") {
      if (task.model?.imageTower === "broken") throw new Error("the model is broken");
      thread.isWarm = task.model !== undefined;
      return { warmUpMs: 0 };
    }
    if (task.kind === "write-model") return { imageTower: "image.onnx", textTower: "text.onnx" };
    if (task.kind === "ping") return { isWarm: thread.isWarm };
    if (task.kind !== "embed-images") throw new Error(`no script for ${task.kind}`);
    if (!thread.isWarm) throw new Error("embed-images before a warm-up with a model");
    const outcomes = await Promise.all(task.images.map(follow));
    const buffers = outcomes.flatMap(({ bytes }) => (bytes === undefined ? [] : [bytes.buffer]));
    return move({ [transferableSymbol]: buffers, [valueSymbol]: outcomes });
  };
}

/**
 * Does what an image says: `throw`, `exit`, `crash`, `undecodable`, `hang` in native code, or `exit-idle`
 * and `hang-idle` once its answer is out; anything else is embedded.
 */
async function follow(image: ImageBytes): Promise<EmbedOutcome> {
  if (image.kind !== "memory") throw new Error("only memory images here");
  const timings = { decodeMs: 0, inferMs: 0 };
  switch (new TextDecoder().decode(image.bytes)) {
    case "throw":
      throw new Error("thrown on request");
    case "exit":
      return process.exit(7);
    case "crash":
      setTimeout(() => {
        throw new Error("crashed on request");
      });
      return await new Promise(() => {});
    case "hang":
      return hang();
    case "hang-idle":
      setTimeout(hang, 20);
      break;
    case "exit-idle":
      setTimeout(() => process.exit(7), 20);
      break;
    case "undecodable": {
      const problem = { code: "undecodable-image", detail: "It was asked to fail." } as const;
      return { bytes: image.bytes, result: { problem }, timings };
    }
    default:
  }
  return { bytes: image.bytes, result: { vector: new Float32Array([threadId]) }, timings };
}

/** Waits in native code for a signal, for ever. */
function hang(): never {
  const { symbols } = dlopen("libc.so.6", { pause: { args: [], returns: FFIType.i32 } });
  for (;;) symbols.pause();
}
