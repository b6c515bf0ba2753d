/** The token ids that transformers gives, from the Rust tokenizers library. */
import { describe, expect, test } from "bun:test";
import { createClipTokenizer } from "../../src/text/clip-tokenizer.ts";
import { parseVocabulary } from "../../src/text/clip-vocabulary.ts";
import { loadClipMerges } from "../../workers/clip-merges.ts";
import { items } from "./tokens.json" with { type: "json" };

const merges = await loadClipMerges();
const tokenize = createClipTokenizer(parseVocabulary(merges));

/** Here the library takes what a user typed for the model's own tokens, and so ends the text early. */
const isMarkup = ({ text }: { readonly text: string }) => text.includes("<|endoftext|>");

test("the package's vocabulary is OpenAI's merges.txt, byte for byte", () => {
  const sha256 = new Bun.CryptoHasher("sha256").update(merges).digest("hex");
  expect(sha256).toBe("9fd691f7c8039210e0fced15865466c65820d09b63988b0174bfe25de299051a");
});

test.each(items.filter((item) => !isMarkup(item)))("$text", ({ text, hf_ids, truncated }) => {
  expect(tokenize(text)).toEqual({ ids: hf_ids, truncated });
});

describe("markup that a user typed is text", () => {
  const own = [49406, 49407];

  test.each(items.filter(isMarkup))("$text", ({ text }) => {
    const { ids } = tokenize(text);
    expect([ids[0], ids.at(-1)]).toEqual(own);
    expect(ids.slice(1, -1).filter((id) => own.includes(id))).toEqual([]);
  });

  test("so that it does not hide what stands behind it", () => {
    const [cat, dog] = ["<|endoftext|> cat", "<|endoftext|> dog"].map((text) => tokenize(text).ids);
    expect(cat).not.toEqual(dog);
    expect(tokenize("<|endoftext|>").ids).toEqual([49406, 27, 347, 40786, 4160, 91, 285, 49407]);
  });
});
