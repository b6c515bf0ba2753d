import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { createClipTokenizer } from "../../src/text/clip-tokenizer.ts";
import { parseVocabulary } from "../../src/text/clip-vocabulary.ts";
import { loadClipMerges } from "../../workers/clip-merges.ts";
import { createReferenceTokenizer } from "../support/reference-tokenizer.ts";

const merges = await loadClipMerges();
const tokenize = createClipTokenizer(parseVocabulary(merges));
const reference = createReferenceTokenizer(merges);

const start = 49406;
const end = 49407;

/** What the library gives, cut as transformers cuts it. */
async function referenceTokens(text: string) {
  const content = await reference(text);
  return { ids: [start, ...content.slice(0, 75), end], truncated: content.length > 75 };
}

/** Blocks that were complete long ago: the library's tables are of an older Unicode than Bun's. */
const codePoint = fc
  .oneof(
    ...[
      ...[
        [0, 0x52f],
        [0x591, 0x6ff],
        [0x900, 0x97f],
        [0xe00, 0xe5b],
        [0x1100, 0x11ff],
      ],
      ...[
        [0x1e00, 0x20bf],
        [0x20d0, 0x2bff],
        [0x3000, 0x30ff],
        [0x3400, 0x9fea],
      ],
      ...[
        [0xac00, 0xd7a3],
        [0xf900, 0xfad9],
        [0xfb00, 0xfdff],
        [0xfe20, 0xffef],
      ],
      ...[
        [0x1d400, 0x1d7ff],
        [0x1f300, 0x1f6ff],
        [0x20000, 0x2a6d6],
      ],
    ].map(([min = 0, max = 0]) => fc.integer({ min, max })),
  )
  .map((code) => String.fromCodePoint(code));
const characters = fc.oneof(
  fc.string({ unit: codePoint, maxLength: 60 }),
  fc.string({ unit: "grapheme-ascii", maxLength: 200 }),
);
/** Text that meets the rules' corners: sigmas, dotted I, contractions, marks, blanks of all sorts, Hangul, digits, emoji. */
const corners = fc
  .array(
    fc.constantFrom(
      ...["Σ", "ΟΣ", "İ", "ß", "ẞ", "ǅ", "'s", "'LL", "'", "e\u0301", "\u0300\u0315", "\u0085"],
      ...["\u00a0", "\u2028", "\ufeff", "\u200b", " ", "\n", "한", "\u1112\u1161\u11ab", "½", "٣"],
      ...[
        "<|endoftext|>",
        "!",
        "…",
        "👩‍👧",
        "🏳️‍🌈",
        "\0",
        "photo",
        "of",
        "a",
        "CAT",
        "東京",
        "नमस्ते",
      ],
    ),
    { maxLength: 60 },
  )
  .map((parts) => parts.join(""));

describe("the tokenizer", () => {
  test("gives what the Rust library gives, whatever the text", async () => {
    const texts = fc.oneof(characters, corners);
    await fc.assert(
      fc.asyncProperty(texts, async (text) => {
        expect(tokenize(text)).toEqual(await referenceTokens(text));
      }),
      { numRuns: 5000 },
    );
  });

  test("gives what the Rust library gives for words of thousands of letters", async () => {
    const letters = fc.oneof(
      fc.string({ unit: fc.constantFrom(..."abcdefghijklmnopqrstuvwxyz"), minLength: 4000 }),
      fc.string({ unit: fc.constantFrom(..."aeiost"), minLength: 4000 }),
      fc.string({ unit: fc.constantFrom(..."東京都庁前駅のはいろ"), minLength: 2000 }),
    );
    await fc.assert(
      fc.asyncProperty(letters, async (text) => {
        expect(tokenize(text)).toEqual(await referenceTokens(text));
      }),
      { numRuns: 60 },
    );
  });

  test("reads half a surrogate pair as the replacement character, as the library does", async () => {
    for (const text of ["\ud83d", "a\udc00b", "\udc00\ud800 cat"]) {
      expect(tokenize(text)).toEqual(await referenceTokens(text.toWellFormed()));
    }
  });
});

// A step that looked again and again at all of it would never end here.
describe("ten million characters", () => {
  const size = 10_000_000;

  test.each([
    ["of words", "cat ".repeat(size / 4), true],
    ["without a blank", "cat".repeat(size / 3), true],
    ["of one letter", "a".repeat(size), true],
    ["of marks", `a${"\u0315\u0300".repeat(size / 2)}`, true],
    ["of halves of pairs", "\ud800".repeat(size), true],
    ["of blanks around a word", `${" ".repeat(size)}cat${"\n".repeat(size)}`, false],
    ["of blanks", "\u3000".repeat(size), false],
  ])("%s are read in no time", (_, text, truncated) => {
    const tokens = tokenize(text);
    expect(tokens.truncated).toBe(truncated);
    expect(tokens.ids.length).toBe(truncated ? 77 : 2 + (text.includes("cat") ? 1 : 0));
  });
});
