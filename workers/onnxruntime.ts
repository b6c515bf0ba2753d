/** onnxruntime as every session of ours runs it: on the CPU, one inference at a time. */
import type { InferenceSession } from "onnxruntime-node";
import { disableOrtTelemetry } from "../src/native/telemetry.ts";

/** What sessions differ in. */
export type OwnOptions = Pick<
  InferenceSession.SessionOptions,
  "graphOptimizationLevel" | "optimizedModelFilePath" | "extra"
>;

/** Opens a session. @throws Error of onnxruntime if the file is missing or broken. */
export async function openSession(
  path: string,
  threads: number,
  own: OwnOptions,
): Promise<InferenceSession> {
  const { InferenceSession } = await loadOnnxruntime();
  return InferenceSession.create(path, {
    executionProviders: ["cpu"],
    executionMode: "sequential",
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    // A pattern is a second block of memory for each shape of input, beside the pieces of its first run: 17 MB for
    // a batch of 8, and no run is sooner done with it.
    enableMemPattern: false,
    // Its errors are thrown as well, and the log's lines are ours.
    logSeverityLevel: 4,
    ...own,
  });
}

/** onnxruntime reads the telemetry switch when its library loads, so it is loaded after that is set. */
export async function loadOnnxruntime(): Promise<typeof import("onnxruntime-node")> {
  disableOrtTelemetry();
  return import("onnxruntime-node");
}
