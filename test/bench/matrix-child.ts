/** A process that lets onnxruntime multiply two large matrices on one thread, and does nothing else. */
import { createGraphBuilder } from "../../src/models/onnx/graph.ts";
import { encodeModel } from "../../src/models/onnx/model-proto.ts";
import { disableOrtTelemetry } from "../../src/native/telemetry.ts";
import { answerQuestions } from "./child.ts";

export interface MatrixQuestion {
  /** ms that products are started for. */
  readonly forMs: number;
}

/** Floating-point operations a second. */
export type MatrixAnswer = number;

/** Rows and columns of both: large enough that nothing but the product counts. */
const side = 2048;
const values = Float32Array.from({ length: side * side }, () => Math.random() - 0.5);

disableOrtTelemetry();
const { InferenceSession, Tensor } = await import("onnxruntime-node");
const session = await InferenceSession.create(productModel(), {
  executionProviders: ["cpu"],
  intraOpNumThreads: 1,
  interOpNumThreads: 1,
});

answerQuestions(async ({ forMs }: MatrixQuestion): Promise<MatrixAnswer> => {
  const feeds = { a: new Tensor("float32", values, [side, side]) };
  const startedAt = performance.now();
  let products = 0;
  for (; performance.now() < startedAt + forMs; products += 1) await session.run(feeds);
  return (products * 2 * side ** 3 * 1000) / (performance.now() - startedAt);
});

/** An ONNX model: `a` times a constant, which onnxruntime packs beforehand as it does weights. */
function productModel(): Uint8Array {
  const graph = createGraphBuilder("product");
  const shape = [side, side];
  const a = graph.input({ name: "a", type: "float32", shape });
  graph.node("MatMul", [a, graph.constant(values, shape)], {}, "product");
  graph.output({ name: "product", type: "float32", shape });
  return encodeModel(graph.finish(), "none");
}
