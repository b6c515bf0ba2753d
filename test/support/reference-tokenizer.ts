import { Tokenizer } from "@anush008/tokenizers";

/**
 * CLIP's tokenizer in the Rust library that transformers uses, without its special tokens.
 *
 * @param merges text of `merges.txt`.
 * @see transformers `convert_slow_tokenizer.py`, `CLIPConverter`.
 */
export function createReferenceTokenizer(merges: string): (text: string) => Promise<number[]> {
  const pairs = merges.trimEnd().split("\n").slice(1);
  const bytes = byteCharacters();
  const tokens = [
    ...bytes,
    ...bytes.map((character) => `${character}</w>`),
    ...pairs.map((pair) => pair.replace(" ", "")),
    "<|startoftext|>",
    "<|endoftext|>",
  ];
  const tokenizer = Tokenizer.fromString(
    JSON.stringify({
      version: "1.0",
      normalizer: {
        type: "Sequence",
        normalizers: [
          { type: "NFC" },
          { type: "Replace", pattern: { Regex: String.raw`\s+` }, content: " " },
          { type: "Lowercase" },
        ],
      },
      pre_tokenizer: {
        type: "Sequence",
        pretokenizers: [
          {
            type: "Split",
            pattern: {
              Regex: String.raw`'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+`,
            },
            behavior: "Removed",
            invert: true,
          },
          { type: "ByteLevel", add_prefix_space: false, trim_offsets: true },
        ],
      },
      model: {
        type: "BPE",
        unk_token: "<|endoftext|>",
        continuing_subword_prefix: "",
        end_of_word_suffix: "</w>",
        fuse_unk: false,
        vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
        merges: pairs,
      },
    }),
  );
  return async (text) => (await tokenizer.encode(text)).getIds();
}

/** `bytes_to_unicode`, as a list of what it gives: printable Latin-1, then the characters from U+0100 on. */
export function byteCharacters(): string[] {
  const characters = (first: number, last: number) =>
    Array.from({ length: last - first + 1 }, (_, i) => String.fromCharCode(first + i));
  return [
    ...characters(0x21, 0x7e),
    ...characters(0xa1, 0xac),
    ...characters(0xae, 0xff),
    ...characters(0x100, 0x143),
  ];
}
