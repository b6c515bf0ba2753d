/** Whether the towers of a model run, on the simplest input there is. */

import { Problem } from "../src/errors.ts";
import type { ClipArchitecture } from "../src/models/onnx/architecture.ts";
import type { TowerFiles } from "../src/models/prepared.ts";
import { trimHeap } from "../src/native/heap.ts";
import { createSession, createTextSession } from "./session.ts";

/** What a black picture gave, float32, [dimensions]; or what a tower lacks or does wrong, in one sentence. */
export type TowersRun = { readonly imageVector: Float32Array } | { readonly fault: string };

/**
 * Runs each tower once, one after the other.
 *
 * @throws Error of onnxruntime, or of the file system.
 */
export async function runTowers(
  towers: TowerFiles,
  { dimensions, vision, text }: ClipArchitecture,
): Promise<TowersRun> {
  const { side } = vision;
  try {
    const image = await createSession({ ...towers, dimensions, side, threads: 1 });
    const imageVector = await image
      .run(new Float32Array(3 * side * side), 1)
      .finally(image.release);
    if (!("textTower" in towers)) return { imageVector };
    const texts = await createTextSession({ ...towers, dimensions, threads: 1 });
    await texts.run(BigInt64Array.of(BigInt(text.endToken)), 1, 1).finally(texts.release);
    return { imageVector };
  } catch (error) {
    if (error instanceof Problem) return { fault: error.message };
    throw error;
  } finally {
    trimHeap();
  }
}
