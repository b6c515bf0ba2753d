/** The worker that infers, which tells of every header and of all pixels that it reads, and of every run of a model. */
import type { Task } from "../../src/backends/protocol.ts";
import { loadOnnxruntime } from "../../workers/onnxruntime.ts";
import { watchDecoding } from "./watched-decoding.ts";
import { tellOfWork, watchThread } from "./work-counts.ts";

const tell = tellOfWork();
watchThread(tell);
watchDecoding((kind) => tell({ kind }));
const { InferenceSession } = await loadOnnxruntime();
const { create } = InferenceSession;
Object.assign(InferenceSession, {
  async create(...given: unknown[]) {
    const session: object = await Reflect.apply(create, InferenceSession, given);
    const run: (...given: unknown[]) => unknown = Reflect.get(session, "run");
    return Object.assign(session, {
      run(...fed: unknown[]) {
        tell({ kind: "inference" });
        return Reflect.apply(run, session, fed);
      },
    });
  },
});
const worker = await import("../../workers/inference.ts");

/** Entry point for piscina. */
export function handle(task: Task): Promise<object> {
  return worker.handle(task);
}
