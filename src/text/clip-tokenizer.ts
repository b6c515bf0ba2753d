/** CLIP's tokenizer, as transformers' `CLIPTokenizerFast` has it. */
import { type ClipVocabulary, endOfWord, pairOf } from "./clip-vocabulary.ts";

/** A text as the model reads it. */
export interface TokenizedText {
  /** Start token, content, end token; at most {@link maxTokens}. */
  readonly ids: readonly number[];
  /** Whether content was left out. */
  readonly truncated: boolean;
}

/** Turns a text into ids; whatever is too long is cut. */
export type Tokenizer = (text: string) => TokenizedText;

/** Longest sequence, start and end token included. */
const maxTokens = 77;

/**
 * Characters of a run without white space that are looked at. No token is longer than 32 bytes and
 * normalising leaves at least half a byte of a character, so this is more than any sequence can hold.
 */
const maxRunChars = 8192;

/** Bytes of a word that are looked at: room enough behind the last token that counts for it to come out as if all were. */
const maxWordBytes = 3072;

const runs = /\P{White_Space}+/gu;
const words = /'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\p{White_Space}\p{L}\p{N}]+/gu;

/**
 * Makes a tokenizer: NFC, lower case by code point, words by pattern, bytes, merges. Markup such as
 * `<|endoftext|>` is text like any other, and half a surrogate pair is U+FFFD. The time is linear in the
 * text's length, since nothing is done for what does not fit.
 *
 * @see transformers `convert_slow_tokenizer.py`, `CLIPConverter`.
 */
export function createClipTokenizer(vocabulary: ClipVocabulary): Tokenizer {
  const { startToken, endToken } = vocabulary;
  const maxContent = maxTokens - 2;
  const utf8 = new TextEncoder();
  return (text) => {
    const content: number[] = [];
    for (const word of wordsOf(text)) {
      content.push(...mergedBytes(utf8.encode(word).subarray(0, maxWordBytes), vocabulary));
      if (content.length > maxContent) break;
    }
    return {
      ids: [startToken, ...content.slice(0, maxContent), endToken],
      truncated: content.length > maxContent,
    };
  };
}

/** Words in their order, each made when it is asked for. White space only parts them, so each run between is normalised alone. */
function* wordsOf(text: string): Generator<string> {
  for (const [run] of text.matchAll(runs)) {
    const normal = run.slice(0, maxRunChars).toWellFormed().normalize("NFC");
    for (const [word] of lowerCase(normal).matchAll(words)) yield word;
  }
}

/** One code point at a time, so that a sigma at the end of a word is like any other. */
function lowerCase(text: string): string {
  return Array.from(text, (character) => character.toLowerCase()).join("");
}

/** Merges a word's bytes to tokens: always the pair that was learnt first, wherever it stands, from left to right. */
function mergedBytes(bytes: Uint8Array, { byteIds, merges }: ClipVocabulary): number[] {
  let tokens = Array.from(bytes, (byte, index) => {
    return (byteIds[byte] ?? 0) + (index === bytes.length - 1 ? endOfWord : 0);
  });
  for (;;) {
    const merged = tokens.map((token, index) =>
      merges.get(pairOf(token, tokens[index + 1] ?? Number.NaN)),
    );
    const first = merged.reduce<number>((least, id = least) => Math.min(least, id), Infinity);
    if (first === Number.POSITIVE_INFINITY) return tokens;
    tokens = withMerged(tokens, merged, first);
  }
}

/** Puts `id` in the place of every pair that becomes it; of overlapping pairs the left one wins. */
function withMerged(
  tokens: readonly number[],
  merged: readonly (number | undefined)[],
  id: number,
): number[] {
  const result: number[] = [];
  for (let index = 0; index < tokens.length; index += 1) {
    const isMerged = merged[index] === id;
    result.push(isMerged ? id : (tokens[index] ?? 0));
    if (isMerged) index += 1;
  }
  return result;
}
