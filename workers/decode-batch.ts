import type { EmbedOutcome, ImageBytes, ProblemMessage } from "../src/backends/protocol.ts";

/** An image on its way through a batch: decoded into a row of the tensor, or failed. */
export type Decoded = Omit<EmbedOutcome, "result"> & { readonly problem?: ProblemMessage };

/**
 * Decodes the images of a batch, one after the other. So that a few slow ones do not hold up all others,
 * none is begun once those before it have taken their time.
 *
 * @param budgetMs after which no further one is begun; the first always is.
 * @param decode decodes one image, the `index`th, into a row of the tensor; what fails takes no row.
 */
export async function decodeBatch(
  images: readonly ImageBytes[],
  budgetMs: number,
  decode: (image: ImageBytes, row: number, index: number) => Promise<Decoded>,
): Promise<readonly Decoded[]> {
  const startedMs = performance.now();
  const decoded: Decoded[] = [];
  let rows = 0;
  for (const image of images) {
    const isLate = decoded.length > 0 && performance.now() - startedMs >= budgetMs;
    const one = isLate ? notStarted(image) : await decode(image, rows, decoded.length);
    if (one.problem === undefined) rows += 1;
    decoded.push(one);
  }
  return decoded;
}

function notStarted(image: ImageBytes): Decoded {
  return {
    ...(image.kind === "memory" ? { bytes: image.bytes } : {}),
    notStarted: true,
    problem: {
      code: "inference-timeout",
      detail: "Other images took too long to decode: send it again.",
    },
    timings: { decodeMs: 0, inferMs: 0 },
  };
}
