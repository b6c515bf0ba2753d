import type { ClipModelFile } from "../src/backends/protocol.ts";
import { disableOrtTelemetry } from "../src/native/telemetry.ts";

/** A loaded image tower. */
export interface ImageSession {
  /**
   * Embeds prepared pictures. Blocks the thread while it computes.
   *
   * @param pixelValues float32, [count, 3, side, side].
   * @returns float32, [count, dimensions], as the model gives it, in memory of its own.
   * @throws Error if the model gives another shape, or a number that is not finite: it is broken.
   */
  run(pixelValues: Float32Array, count: number): Promise<Float32Array<ArrayBuffer>>;
  /** Frees the model's memory; nothing may run then or later. */
  release(): Promise<void>;
}

/**
 * Loads an image tower for the CPU.
 *
 * @throws Error of onnxruntime if the file is missing or broken.
 */
export async function createSession(model: ClipModelFile): Promise<ImageSession> {
  const { InferenceSession, Tensor } = await loadOnnxruntime();
  const session = await InferenceSession.create(model.imageTower, {
    executionProviders: ["cpu"],
    executionMode: "sequential",
    intraOpNumThreads: model.threads,
    interOpNumThreads: 1,
    // Its errors are thrown as well, and the log's lines are ours.
    logSeverityLevel: 4,
  });
  return {
    async run(pixelValues, count) {
      const shape = [count, 3, model.side, model.side];
      const { image_embeds: output } = await session.run({
        pixel_values: new Tensor("float32", pixelValues, shape),
      });
      const expected = `${count},${model.dimensions}`;
      if (!(output?.data instanceof Float32Array) || output.dims.join() !== expected) {
        const given = `${output?.type} [${output?.dims}]`;
        throw new Error(`the image tower gave ${given} instead of float32 [${expected}]`);
      }
      if (!output.data.every(Number.isFinite)) {
        throw new Error("the image tower gave a number that is not finite");
      }
      return new Float32Array(output.data);
    },
    release: () => session.release(),
  };
}

/** onnxruntime reads the telemetry switch when its library loads, so it is loaded after that is set. */
async function loadOnnxruntime(): Promise<typeof import("onnxruntime-node")> {
  disableOrtTelemetry();
  return import("onnxruntime-node");
}
