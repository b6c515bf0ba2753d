/** A worker module that takes 10 ms for each text, and holds no model: for tests in which the host's speed must not matter. */
import type { Task } from "../../src/backends/protocol.ts";

/** ms a text. */
const pace = 10;

/** Entry point for piscina. */
export async function handle(task: Task): Promise<unknown> {
  if (task.kind === "warm-up") return { warmUpMs: 0 };
  if (task.kind === "write-model") return { imageTower: "image.onnx", textTower: "text.onnx" };
  if (task.kind === "ping") return { isWarm: true };
  if (task.kind !== "embed-texts") throw new Error(`no script for ${task.kind}`);
  const startedAt = performance.now();
  await Bun.sleep(pace * task.texts.length);
  const inferMs = performance.now() - startedAt;
  return task.texts.map(() => ({ vector: new Float32Array(512), truncated: false, inferMs }));
}
