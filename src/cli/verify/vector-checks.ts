/** Whether vectors are those that others have published, and the same alone and among others. */
import type { Embedder } from "../../core/embed.ts";
import type { TextEmbedder } from "../../core/embed-text.ts";
import { Problem } from "../../errors.ts";
import { makePatternPng } from "../../image/pattern.ts";
import { compareGolden, type GoldenValues, picturesIn, textsIn } from "../../models/golden.ts";
import { goldenPatterns, goldenPictures, goldenTokens } from "../../models/golden-inputs.ts";
import type { ImageSource } from "../../sources/source.ts";
import { type Check, leftOut, numberCheck } from "./check.ts";
import type { FoundPictures } from "./input-checks.ts";

/** A model that is ready, and how it is asked. */
export interface ModelInUse {
  readonly embedder: Pick<Embedder, "embed">;
  readonly textEmbedder: Pick<TextEmbedder, "embed">;
  /** The model's id. */
  readonly model: string;
  /** Aborts when the user interrupts, and when a worker is lost. */
  readonly stop: AbortSignal;
}

/** Images asked for at once: enough that batches form behind the first ones, few enough for a slow host. */
const imagesTogether = 12;
/** Largest difference of one thing's vectors, alone and in a batch, relative to its largest number. */
const allowedInBatch = 1e-5;

/**
 * Embeds through the core, and compares.
 *
 * @param golden undefined where nothing is known of these weights.
 * @throws the reason of `stop`.
 */
export async function checkVectors(
  use: ModelInUse,
  golden: GoldenValues | undefined,
  found: FoundPictures,
): Promise<readonly Check[]> {
  const pictures = await embedPictures(use, found);
  const known = golden === undefined ? [] : textsIn(golden);
  const texts = [...new Set([...known, ...goldenTokens.map(({ text }) => text)])];
  const lines = await embedEach(new Map(texts.map((text) => [text, text])), async (text) => {
    const vectors = await embedTexts(use, [text]);
    return vectors instanceof Problem ? vectors : (vectors[0] ?? new Float32Array());
  });
  const faults = [...pictures.faults, ...lines.faults];
  if (faults.length > 0) return faults;
  const vectors = { pictures: pictures.vectors, texts: lines.vectors };
  const missing = golden === undefined ? [] : picturesIn(golden).filter(isNoneOf(vectors.pictures));
  const values = golden === undefined ? [] : compareGolden(golden, vectors);
  return [
    ...values.map(({ what, source, ...numbers }) => numberCheck(what, numbers, source)),
    ...missing.map((name) => leftOut(`values of ${name}`, "the picture is not here")),
    await checkImagesTogether(use, found, vectors.pictures, allowedInBatch),
    await checkTextsTogether(use, vectors.texts),
  ];
}

/** Embeds every picture that is to be had, one after the other. */
export async function embedPictures(use: ModelInUse, found: FoundPictures) {
  return await embedEach(sourcesOf(found), (source) => embedImage(use, source));
}

/** Every picture that is to be had; the patterns always are. */
function sourcesOf(found: FoundPictures): ReadonlyMap<string, ImageSource> {
  const sources = new Map<string, ImageSource>();
  for (const { name, width, height } of goldenPatterns) {
    sources.set(name, { kind: "memory", bytes: makePatternPng(width, height) });
  }
  for (const { name } of goldenPictures) {
    const picture = found.get(name);
    if (picture !== undefined && "path" in picture) {
      sources.set(name, { kind: "file", path: picture.path });
    }
  }
  return sources;
}

/** Embeds one thing after the other, so that each is alone. */
async function embedEach<Thing>(
  things: ReadonlyMap<string, Thing>,
  embed: (thing: Thing) => Promise<Float32Array | Problem>,
) {
  const vectors = new Map<string, Float32Array>();
  const faults: Check[] = [];
  for (const [name, thing] of things) {
    const vector = await embed(thing);
    const what = `${name}, vector`;
    if (vector instanceof Problem) faults.push({ what, verdict: "wrong", found: vector.message });
    else if (!isSound(vector)) {
      faults.push({ what, verdict: "wrong", found: "it is zero, or has numbers that are none" });
    } else vectors.set(name, vector);
  }
  return { vectors, faults };
}

/**
 * Embeds every picture among others.
 *
 * @param alone of each picture, by its name.
 * @param allowed largest difference, relative to the vector's largest number.
 */
export async function checkImagesTogether(
  use: ModelInUse,
  found: FoundPictures,
  alone: ReadonlyMap<string, Float32Array>,
  allowed: number,
): Promise<Check> {
  const all = [...sourcesOf(found)];
  const repeated = Array.from({ length: imagesTogether }, () => all).flat();
  const together = await Promise.all(
    repeated
      .slice(0, imagesTogether)
      .map(async ([name, source]) => [name, await embedImage(use, copyOf(source))] as const),
  );
  return batchCheck("images", together, alone, allowed);
}

/** Bytes in memory are given away with their source. */
function copyOf(source: ImageSource): ImageSource {
  return source.kind === "memory" ? { ...source, bytes: source.bytes.slice() } : source;
}

async function checkTextsTogether(
  use: ModelInUse,
  alone: ReadonlyMap<string, Float32Array>,
): Promise<Check> {
  const texts = [...alone.keys()];
  const vectors = await embedTexts(use, texts);
  const vectorOf = (index: number) => (vectors instanceof Problem ? vectors : vectors[index]);
  return batchCheck(
    "texts",
    texts.map((text, index) => [text, vectorOf(index)]),
    alone,
    allowedInBatch,
  );
}

function batchCheck(
  what: string,
  together: readonly (readonly [string, Float32Array | Problem | undefined])[],
  alone: ReadonlyMap<string, Float32Array>,
  allowed: number,
): Check {
  const name = `${what} in batches, against each alone`;
  const problem = together.map(([, vector]) => vector).find((one) => one instanceof Problem);
  if (problem !== undefined) return { what: name, verdict: "wrong", found: problem.message };
  const differences = together.map(([one, vector]) => {
    const other = alone.get(one);
    const isThere = vector instanceof Float32Array && other !== undefined;
    return isThere ? relativeDifference(vector, other) : Number.NaN;
  });
  const got = Math.max(...differences);
  const numbers = { expected: 0, got, difference: got, allowed };
  return numberCheck(name, numbers, "the same model");
}

async function embedImage(
  { embedder, model, stop }: ModelInUse,
  source: ImageSource,
): Promise<Float32Array | Problem> {
  const embedded = await embedder.embed({ source, model, normalize: false, keep: false }, stop, {});
  return embedded instanceof Problem ? embedded : embedded.vector;
}

async function embedTexts(
  { textEmbedder, model, stop }: ModelInUse,
  texts: readonly string[],
): Promise<readonly Float32Array[] | Problem> {
  const embedded = await textEmbedder.embed({ texts, model, normalize: false }, stop, {});
  return embedded instanceof Problem ? embedded : embedded.vectors;
}

function isSound(vector: Float32Array): boolean {
  return vector.every(Number.isFinite) && vector.some((component) => component !== 0);
}

function isNoneOf(vectors: ReadonlyMap<string, Float32Array>): (name: string) => boolean {
  return (name) => !vectors.has(name);
}

/** Largest difference of two vectors, relative to the second one's largest number. */
function relativeDifference(vector: Float32Array, other: Float32Array): number {
  const differences = other.map((component, index) =>
    Math.abs((vector[index] ?? Number.NaN) - component),
  );
  return Math.max(...differences) / Math.max(...other.map(Math.abs));
}
