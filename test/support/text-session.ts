import type { InferenceSession } from "onnxruntime-node";
import { disableOrtTelemetry } from "../../src/native/telemetry.ts";

/** A text tower in onnxruntime. */
export interface TextSession extends AsyncDisposable {
  /** Sequences of one length → one vector [dimensions] each. */
  embed(sequences: readonly (readonly number[])[]): Promise<Float32Array[]>;
}

/** Loads a text tower with one thread. */
export async function createTextSession(path: string): Promise<TextSession> {
  disableOrtTelemetry();
  const { InferenceSession, Tensor } = await import("onnxruntime-node");
  const session: InferenceSession = await InferenceSession.create(path, {
    intraOpNumThreads: 1,
    logSeverityLevel: 4,
  });
  return {
    async embed(sequences) {
      const ids = BigInt64Array.from(sequences.flat(), BigInt);
      const shape = [sequences.length, sequences[0]?.length ?? 0];
      const { text_embeds: output } = await session.run({
        input_ids: new Tensor("int64", ids, shape),
      });
      const data = output?.data;
      if (!(data instanceof Float32Array)) throw new Error("the text tower gave no float32");
      const dimensions = data.length / sequences.length;
      return sequences.map((_, item) => data.slice(item * dimensions, (item + 1) * dimensions));
    },
    [Symbol.asyncDispose]: () => session.release(),
  };
}
