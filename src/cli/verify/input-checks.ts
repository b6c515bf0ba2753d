/** Whether pictures and texts are prepared for a model as the reference does it; no weights are needed. */
import type { Worker } from "../../backends/pool.ts";
import type { DecodeOptions, ModelInputs } from "../../backends/protocol.ts";
import { makePatternPng } from "../../image/pattern.ts";
import type { Preprocessing } from "../../models/catalog.ts";
import {
  goldenPatterns,
  goldenPictures,
  goldenSide,
  goldenTokens,
} from "../../models/golden-inputs.ts";
import type { FoundPicture } from "../../models/golden-pictures.ts";
import { type Check, leftOut } from "./check.ts";

/** Pictures by name, as far as they are to be had. */
export type FoundPictures = ReadonlyMap<string, FoundPicture>;

/** Prepares the golden pictures and texts in a worker, and compares what comes out bit for bit. */
export async function checkInputs(
  worker: Worker,
  decode: DecodeOptions,
  { mean, std }: Preprocessing,
  found: FoundPictures,
): Promise<readonly Check[]> {
  const patterns = goldenPatterns.map(({ width, height, ...golden }) => {
    return { golden, image: { kind: "memory", bytes: makePatternPng(width, height) } } as const;
  });
  const pictures = goldenPictures.flatMap((golden) => {
    const picture = found.get(golden.name);
    if (picture === undefined || "missing" in picture) return [];
    return [{ golden, image: { kind: "file", path: picture.path } as const }];
  });
  const wanted = [...patterns, ...pictures];
  const { images, tokenIds } = await worker.run({
    kind: "read-inputs",
    images: wanted.map(({ image }) => image),
    texts: goldenTokens.map(({ text }) => text),
    decode,
    input: { side: goldenSide, mean, std },
  });
  const missing = goldenPictures.flatMap(({ name }) => {
    const picture = found.get(name);
    return picture !== undefined && "missing" in picture ? [leftOut(name, picture.missing)] : [];
  });
  return [
    ...wanted.map(({ golden }, index) => checkPixels(golden, images[index])),
    ...goldenTokens.map(({ text, ids }, index) => checkTokens(text, ids, tokenIds[index])),
    ...missing,
  ];
}

function checkPixels(
  { name, pixelValuesSha256 }: { readonly name: string; readonly pixelValuesSha256: string },
  image: ModelInputs["images"][number] | undefined,
): Check {
  const what = `${name}, pixel values`;
  if (image === undefined) return { what, verdict: "wrong", found: "the worker did not answer" };
  if ("problem" in image) return { what, verdict: "wrong", found: image.problem.detail };
  return image.pixelValuesSha256 === pixelValuesSha256
    ? { what, verdict: "right", found: "the reference's, bit for bit" }
    : { what, verdict: "wrong", found: `not the reference's: ${image.pixelValuesSha256}` };
}

function checkTokens(
  text: string,
  expected: readonly number[],
  got: readonly number[] | undefined,
): Check {
  const what = `${JSON.stringify(text)}, token ids`;
  return got?.join() === expected.join()
    ? { what, verdict: "right", found: "the reference's" }
    : { what, verdict: "wrong", found: `not the reference's: ${got?.join(" ")}` };
}
