/** Whether a model's int8 image vectors are near its fp32 ones, and the same alone and among others. */
import { cosineSimilarity } from "../../vector/similarity.ts";
import { type Check, leftOut, numberCheck } from "./check.ts";
import type { FoundPictures } from "./input-checks.ts";
import { checkImagesTogether, embedPictures, type ModelInUse } from "./vector-checks.ts";

/**
 * Furthest that the cosine of a picture's two vectors may lie below 1. With seeded weights it is 0.0004; beyond a
 * hundredth, vectors of near duplicates would be mixed up, and the int8 files that others publish are as near.
 */
const allowedCosineGap = 0.01;
/** Furthest that a vector's length may lie from the other's, relative to it. */
const allowedLengthGap = 0.02;

/**
 * Embeds the same pictures in fp32 and in int8.
 *
 * @param fp32 of each picture, by its name.
 * @throws the reason of `stop`.
 */
export async function checkInt8(
  use: ModelInUse,
  fp32: ReadonlyMap<string, Float32Array>,
  found: FoundPictures,
): Promise<readonly Check[]> {
  if (fp32.size === 0) return [leftOut("int8 against fp32", "there are no fp32 vectors")];
  const { vectors, faults } = await embedPictures(use, found);
  if (faults.length > 0) return faults;
  const checks = [...vectors].flatMap(([name, vector]) => {
    const exact = fp32.get(name);
    if (exact === undefined) return [];
    const cosine = cosineSimilarity(vector, exact);
    const length = Math.hypot(...vector) / Math.hypot(...exact);
    return [
      near(`${name}, cosine of int8 to fp32`, cosine, allowedCosineGap),
      near(`${name}, length of int8 to fp32`, length, allowedLengthGap),
    ];
  });
  return [...checks, await checkImagesTogether(use, found, vectors, 0)];
}

function near(what: string, got: number, allowed: number): Check {
  const numbers = { expected: 1, got, difference: Math.abs(1 - got), allowed };
  return numberCheck(what, numbers, "fp32 of the same weights");
}
