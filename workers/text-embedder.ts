import type { ClipTextModelFile, TextOutcome } from "../src/backends/protocol.ts";
import {
  createClipTokenizer,
  type TokenizedText,
  type Tokenizer,
} from "../src/text/clip-tokenizer.ts";
import { parseVocabulary } from "../src/text/clip-vocabulary.ts";
import { loadClipMerges } from "./clip-merges.ts";
import { createTextSession, type TextSession } from "./session.ts";

/** Embeds texts, with whatever that takes loaded when it is first needed. */
export interface TextEmbedder {
  /**
   * Embeds the texts in one inference.
   *
   * @throws Error if the model cannot be loaded, or is broken.
   */
  embed(model: ClipTextModelFile, texts: readonly string[]): Promise<TextOutcome[]>;
  /** Frees the model's memory, until the next text. */
  release(): Promise<void>;
}

/** Makes a text embedder that has loaded nothing: most workers are never asked for texts. */
export function createTextEmbedder(): TextEmbedder {
  let tokenize: Tokenizer | undefined;
  let loaded: { readonly path: string; readonly session: TextSession } | undefined;

  async function release(): Promise<void> {
    await loaded?.session.release();
    loaded = undefined;
  }

  async function sessionOf(model: ClipTextModelFile): Promise<TextSession> {
    if (loaded?.path !== model.textTower) {
      await release();
      loaded = { path: model.textTower, session: await createTextSession(model) };
    }
    return loaded.session;
  }

  return {
    release,
    embed: async (model, texts) => {
      tokenize ??= createClipTokenizer(parseVocabulary(await loadClipMerges()));
      const session = await sessionOf(model);
      const startedMs = performance.now();
      const tokenized = texts.map(tokenize);
      const { inputIds, length } = padded(tokenized);
      const vectors = await session.run(inputIds, texts.length, length);
      const inferMs = performance.now() - startedMs;
      return tokenized.map(({ truncated }, row) => {
        const vector = vectors.slice(row * model.dimensions, (row + 1) * model.dimensions);
        return { vector, truncated, inferMs };
      });
    },
  };
}

/**
 * Brings sequences to one length. Each is padded with its own end token: the model reads a sequence up
 * to its first one, so padding never changes a vector.
 *
 * @returns int64, [sequences, length].
 */
function padded(sequences: readonly TokenizedText[]) {
  const length = Math.max(...sequences.map(({ ids }) => ids.length));
  const inputIds = new BigInt64Array(sequences.length * length);
  for (const [row, { ids }] of sequences.entries()) {
    const line = inputIds.subarray(row * length, (row + 1) * length);
    line.set(ids.map(BigInt));
    line.fill(BigInt(ids.at(-1) ?? 0), ids.length);
  }
  return { inputIds, length };
}
