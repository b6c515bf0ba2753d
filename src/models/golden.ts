/** Values that others have published of a model, and how far this host's are from them. */
import { cosineSimilarity } from "../vector/similarity.ts";

/** How alike a picture is to each of some texts. */
export interface GoldenComparison {
  readonly picture: string;
  readonly texts: readonly string[];
  /** One number for each text. */
  readonly expected: readonly number[];
  /** Largest difference that is still right. */
  readonly allowed: number;
  /** Who published it, and where. */
  readonly source: string;
}

/** The first numbers of a vector that was scaled to unit length. */
export interface GoldenStart {
  readonly expected: readonly number[];
  readonly allowed: number;
  readonly source: string;
}

/** What is known of one model with one set of weights. */
export interface GoldenValues {
  /** L2 norm of a photo's vector, as the model gives it: no export that normalises passes for this one. */
  readonly rawNorm: {
    readonly pictures: readonly string[];
    readonly least: number;
    readonly most: number;
    readonly source: string;
  };
  readonly cosines: readonly GoldenComparison[];
  /** Softmax of 100 times the cosines. */
  readonly probabilities: readonly GoldenComparison[];
  readonly pictureStarts: readonly (GoldenStart & { readonly picture: string })[];
  readonly textStarts: readonly (GoldenStart & { readonly text: string })[];
}

/** Vectors by the name of a picture or by the text, float32, [dimensions], not normalised. */
export interface GoldenVectors {
  readonly pictures: ReadonlyMap<string, Float32Array>;
  readonly texts: ReadonlyMap<string, Float32Array>;
}

/** One number beside the published one. */
export interface ComparedNumber {
  readonly what: string;
  readonly expected: number;
  readonly got: number;
  readonly difference: number;
  readonly allowed: number;
  readonly source: string;
}

/** What a probability is made of: the published model's scale of its cosines. */
const logitScale = 100;

/** Names of all pictures that the values need. */
export function picturesIn(golden: GoldenValues): readonly string[] {
  const named = [...golden.cosines, ...golden.probabilities, ...golden.pictureStarts];
  return [...new Set([...named.map(({ picture }) => picture), ...golden.rawNorm.pictures])];
}

/** All texts that the values need. */
export function textsIn(golden: GoldenValues): readonly string[] {
  const compared = [...golden.cosines, ...golden.probabilities].flatMap(({ texts }) => texts);
  return [...new Set([...compared, ...golden.textStarts.map(({ text }) => text)])];
}

/**
 * Compares vectors with the published values; what needs a vector that is not there is left out.
 *
 * @throws RangeError if a vector is zero or not finite.
 */
export function compareGolden(golden: GoldenValues, vectors: GoldenVectors): ComparedNumber[] {
  const { pictures, texts } = vectors;
  return [
    ...golden.cosines.flatMap((value) => compareTexts("cosine", value, vectors, (all) => all)),
    ...golden.probabilities.flatMap((value) => compareTexts("share", value, vectors, softmax)),
    ...golden.pictureStarts.flatMap((value) =>
      compareStart(value.picture, value, pictures.get(value.picture)),
    ),
    ...golden.textStarts.flatMap((value) =>
      compareStart(JSON.stringify(value.text), value, texts.get(value.text)),
    ),
    ...golden.rawNorm.pictures.flatMap((name) =>
      compareNorm(name, golden.rawNorm, pictures.get(name)),
    ),
  ];
}

function compareTexts(
  kind: string,
  { picture, texts, expected, ...terms }: GoldenComparison,
  vectors: GoldenVectors,
  finish: (cosines: readonly number[]) => readonly number[],
): ComparedNumber[] {
  const image = vectors.pictures.get(picture);
  const others = texts.map((text) => vectors.texts.get(text));
  if (image === undefined || others.includes(undefined)) return [];
  const cosines = others.flatMap((one) => (one === undefined ? [] : cosineSimilarity(image, one)));
  return finish(cosines).map((got, index) => {
    const what = `${picture}, ${kind} of ${JSON.stringify(texts[index])}`;
    return compare(what, expected[index] ?? Number.NaN, got, terms);
  });
}

function compareStart(
  name: string,
  { expected, allowed, source }: GoldenStart,
  vector: Float32Array | undefined,
): ComparedNumber[] {
  if (vector === undefined) return [];
  const norm = normOf(vector);
  return expected.map((wanted, index) => {
    const got = (vector[index] ?? Number.NaN) / norm;
    return compare(`${name}, number ${index + 1} at unit length`, wanted, got, { allowed, source });
  });
}

/** The middle of the range is expected, and half of its width allowed. */
function compareNorm(
  name: string,
  { least, most, source }: GoldenValues["rawNorm"],
  vector: Float32Array | undefined,
): ComparedNumber[] {
  if (vector === undefined) return [];
  const terms = { allowed: (most - least) / 2, source };
  return [compare(`${name}, length as given`, (least + most) / 2, normOf(vector), terms)];
}

function compare(
  what: string,
  expected: number,
  got: number,
  terms: { readonly allowed: number; readonly source: string },
): ComparedNumber {
  const { allowed, source } = terms;
  return { what, expected, got, difference: Math.abs(got - expected), allowed, source };
}

function softmax(cosines: readonly number[]): readonly number[] {
  const largest = Math.max(...cosines);
  const powers = cosines.map((cosine) => Math.exp(logitScale * (cosine - largest)));
  const sum = powers.reduce((total, power) => total + power, 0);
  return powers.map((power) => power / sum);
}

function normOf(vector: Float32Array): number {
  let sumOfSquares = 0;
  for (const component of vector) sumOfSquares += component * component;
  return Math.sqrt(sumOfSquares);
}
