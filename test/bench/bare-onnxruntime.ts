/**
 * A process that runs one tower and nothing else: `bare-onnxruntime.ts <model> <threads>`. It
 * says what the machine could do without a service around it.
 */
import { disableOrtTelemetry } from "../../src/native/telemetry.ts";
import { answerQuestions } from "./child.ts";

export interface BareQuestion {
  /** Images or texts of one inference. */
  readonly batch: number;
  /** Of a text tower: tokens of each text of an inference, by turns, so that none is padded. */
  readonly lengths?: readonly number[] | undefined;
  /** ms that inferences are started for. */
  readonly forMs: number;
}

/** ms that each inference took, one after the other. */
export type BareAnswer = readonly number[];

const side = 224;
const endToken = 49_407n;
const [tower = "", threads] = process.argv.slice(2);

disableOrtTelemetry();
const { InferenceSession, Tensor } = await import("onnxruntime-node");
const session = await InferenceSession.create(tower, {
  executionProviders: ["cpu"],
  intraOpNumThreads: Number(threads),
  interOpNumThreads: 1,
});

function pictures(batch: number) {
  const values = Float32Array.from({ length: batch * 3 * side * side }, () => Math.random() - 0.5);
  return { pixel_values: new Tensor("float32", values, [batch, 3, side, side]) };
}

function texts(batch: number, length: number) {
  const ids = BigInt64Array.from({ length: batch * length }, (_, at) =>
    at % length === length - 1 ? endToken : BigInt(1 + (at % 1000)),
  );
  return { input_ids: new Tensor("int64", ids, [batch, length]) };
}

answerQuestions(async ({ batch, forMs, lengths }: BareQuestion): Promise<BareAnswer> => {
  const feeds = lengths?.map((length) => texts(batch, length)) ?? [pictures(batch)];
  const tookMs: number[] = [];
  const until = performance.now() + forMs;
  for (let startedAt = performance.now(); startedAt < until; ) {
    await session.run(feeds[tookMs.length % feeds.length] ?? {});
    const endedAt = performance.now();
    tookMs.push(endedAt - startedAt);
    startedAt = endedAt;
  }
  return tookMs;
});
