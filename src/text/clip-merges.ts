/** OpenAI's list of merges, as it comes: which part of it CLIP uses, and how it is known again. */

/** Lines that CLIP uses: a header and the merges. What follows was learnt but never used. */
const usedLines = 48_895;

/** SHA-256 of `merges.txt` as transformers has it, in lower-case hex. */
export const mergesSha256 = "9fd691f7c8039210e0fced15865466c65820d09b63988b0174bfe25de299051a";

/**
 * Takes `merges.txt` as transformers has it out of OpenAI's whole list.
 *
 * @param list may have the name of its archive's member in front of the header.
 * @returns a header line, then 48,894 merges, one a line.
 * @see openai/CLIP, `clip/simple_tokenizer.py`, `SimpleTokenizer.__init__`.
 */
export function takeMerges(list: string): string {
  const lines = list.slice(list.indexOf("#version")).split("\n", usedLines);
  return `${lines.join("\n")}\n`;
}
