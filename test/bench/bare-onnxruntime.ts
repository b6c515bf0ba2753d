/**
 * A process that runs the image tower and nothing else: `bare-onnxruntime.ts <model> <threads>`. It
 * says what the machine could do without a service around it.
 */
import { disableOrtTelemetry } from "../../src/native/telemetry.ts";
import { answerQuestions } from "./child.ts";

export interface BareQuestion {
  /** Images of one inference. */
  readonly batch: number;
  /** ms that inferences are started for. */
  readonly forMs: number;
}

/** ms that each inference took, one after the other. */
export type BareAnswer = readonly number[];

const side = 224;
const [imageTower = "", threads] = process.argv.slice(2);

disableOrtTelemetry();
const { InferenceSession, Tensor } = await import("onnxruntime-node");
const session = await InferenceSession.create(imageTower, {
  executionProviders: ["cpu"],
  intraOpNumThreads: Number(threads),
  interOpNumThreads: 1,
});

answerQuestions(async ({ batch, forMs }: BareQuestion): Promise<BareAnswer> => {
  const values = Float32Array.from({ length: batch * 3 * side * side }, () => Math.random() - 0.5);
  const pixelValues = new Tensor("float32", values, [batch, 3, side, side]);
  const tookMs: number[] = [];
  const until = performance.now() + forMs;
  for (let startedAt = performance.now(); startedAt < until; ) {
    await session.run({ pixel_values: pixelValues });
    const endedAt = performance.now();
    tookMs.push(endedAt - startedAt);
    startedAt = endedAt;
  }
  return tookMs;
});
