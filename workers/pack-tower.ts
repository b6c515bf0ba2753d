/** Packs one tower with onnxruntime, and proves that it still gives the same numbers. */
import { basename } from "node:path";
import { messageOf } from "../src/errors.ts";
import type { ClipArchitecture } from "../src/models/onnx/architecture.ts";
import type { GoOn } from "./model-lock.ts";
import type { OwnOptions } from "./onnxruntime.ts";
import { createSession, createTextSession, packedOptions } from "./session.ts";

/** In which order weights are packed does not depend on it, nor does any bit of a vector. */
const threads = 1;
/** Two pictures, as prepared, that differ in every number. */
const samplePictures = 2;
const maxSampleTokens = 7;

/**
 * Packs an image tower.
 *
 * @param from a tower that may be loaded.
 * @param to path of the packed graph, in a folder without one; its weights lie beside it, with `.data` appended.
 * @throws Problem if the tower does not give what it should; Error of onnxruntime, as where the disk is full, or if
 *   the packed tower gives another vector.
 */
export async function packImageTower(
  from: string,
  to: string,
  { dimensions, vision }: ClipArchitecture,
  goOn: GoOn,
): Promise<void> {
  const { side } = vision;
  const values = samplePictures * 3 * side * side;
  const pixelValues = Float32Array.from({ length: values }, (_, index) => Math.sin(index));
  await pack(from, to, goOn, async (imageTower, own) => {
    const session = await createSession({ imageTower, dimensions, side, threads }, own);
    return await session.run(pixelValues, samplePictures).finally(session.release);
  });
}

/** Packs a text tower; as `packImageTower` does. */
export async function packTextTower(
  from: string,
  to: string,
  { dimensions, text }: ClipArchitecture,
  goOn: GoOn,
): Promise<void> {
  const length = Math.min(maxSampleTokens, text.maxTokens);
  const inputIds = BigInt64Array.from({ length }, (_, index) =>
    BigInt(index === length - 1 ? text.endToken : index + 1),
  );
  await pack(from, to, goOn, async (textTower, own) => {
    const session = await createTextSession({ textTower, dimensions, threads }, own);
    return await session.run(inputIds, 1, length).finally(session.release);
  });
}

type Run = (tower: string, own: OwnOptions) => Promise<Float32Array>;

async function pack(from: string, to: string, goOn: GoOn, run: Run): Promise<void> {
  goOn();
  const expected = await run(from, packingOptions(to));
  goOn();
  const packed = await run(to, packedOptions).catch((cause: unknown) => {
    // The fault is not the model's: it has run.
    const why = messageOf(cause);
    throw new Error(`${basename(to)} did not run once it was packed: ${why}`, { cause });
  });
  goOn();
  const isSame = Buffer.from(expected.buffer).equals(Buffer.from(packed.buffer));
  if (!isSame) throw new Error(`${basename(to)} gave other numbers once it was packed`);
}

/** @see onnxruntime's `onnxruntime_session_options_config_keys.h`. */
function packingOptions(to: string): OwnOptions {
  return {
    graphOptimizationLevel: "all",
    optimizedModelFilePath: to,
    extra: {
      session: {
        optimized_model_external_initializers_file_name: `${basename(to)}.data`,
        // Smaller ones stay in the graph.
        optimized_model_external_initializers_min_size_in_bytes: "1024",
        save_external_prepacked_constant_initializers: "1",
      },
    },
  };
}
