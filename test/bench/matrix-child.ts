/** A process that lets onnxruntime compute the model's largest matrix product on one thread, and does nothing else. */
import { createGraphBuilder } from "../../src/models/onnx/graph.ts";
import { encodeModel } from "../../src/models/onnx/model-proto.ts";
import { disableOrtTelemetry } from "../../src/native/telemetry.ts";
import { defaultModel } from "../support/default-model.ts";
import { answerQuestions } from "./child.ts";

export interface MatrixQuestion {
  /** ms that products are started for. */
  readonly forMs: number;
}

/** Floating-point operations a second. */
export type MatrixAnswer = number;

/** Images whose tokens are the rows. */
const batch = 8;
const { vision } = defaultModel.architecture;
const rows = batch * ((vision.side / vision.patch) ** 2 + 1);
const [shared, columns] = [vision.width, vision.mlp];

disableOrtTelemetry();
const { InferenceSession, Tensor } = await import("onnxruntime-node");
const session = await InferenceSession.create(productModel(), {
  executionProviders: ["cpu"],
  intraOpNumThreads: 1,
  interOpNumThreads: 1,
});

answerQuestions(async ({ forMs }: MatrixQuestion): Promise<MatrixAnswer> => {
  const feeds = { a: new Tensor("float32", makeValues(rows * shared), [rows, shared]) };
  const startedAt = performance.now();
  let products = 0;
  for (; performance.now() < startedAt + forMs; products += 1) await session.run(feeds);
  return (products * 2 * rows * shared * columns * 1000) / (performance.now() - startedAt);
});

/** An ONNX model: `a` times a constant, which onnxruntime packs beforehand as it does weights. */
function productModel(): Uint8Array {
  const graph = createGraphBuilder("product");
  const a = graph.input({ name: "a", type: "float32", shape: [rows, shared] });
  const b = graph.constant(makeValues(shared * columns), [shared, columns]);
  graph.node("MatMul", [a, b], {}, "product");
  graph.output({ name: "product", type: "float32", shape: [rows, columns] });
  return encodeModel(graph.finish(), "none");
}

function makeValues(length: number): Float32Array<ArrayBuffer> {
  return Float32Array.from({ length }, () => Math.random() - 0.5);
}
