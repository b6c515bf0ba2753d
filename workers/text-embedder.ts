import type { Answers, ClipTextModelFile } from "../src/backends/protocol.ts";
import { Problem } from "../src/errors.ts";
import {
  createClipTokenizer,
  type TokenizedText,
  type Tokenizer,
} from "../src/text/clip-tokenizer.ts";
import { parseVocabulary } from "../src/text/clip-vocabulary.ts";
import { loadClipMerges } from "./clip-merges.ts";
import { problemMessage } from "./problem-message.ts";
import { createTextSession, type TextSession } from "./session.ts";

/** Embeds texts, with whatever that takes loaded when it is first needed. */
export interface TextEmbedder {
  /**
   * Embeds the texts in one inference.
   *
   * @returns a problem if the tower was changed since it was checked, cannot be loaded, or is broken.
   * @throws Error of the inference itself.
   */
  embed(model: ClipTextModelFile, texts: readonly string[]): Promise<Answers["embed-texts"]>;
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
      loaded = { path: model.textTower, session: await openSession(model) };
    }
    return loaded.session;
  }

  async function embed(model: ClipTextModelFile, texts: readonly string[]) {
    tokenize ??= createClipTokenizer(parseVocabulary(await loadClipMerges()));
    const session = await sessionOf(model);
    const startedMs = performance.now();
    const tokenized = texts.map(tokenize);
    const { inputIds, length } = padded(tokenized);
    const vectors = await session.run(inputIds, texts.length, length);
    const inferMs = performance.now() - startedMs;
    return tokenized.map(({ ids, truncated }, row) => {
      const vector = vectors.slice(row * model.dimensions, (row + 1) * model.dimensions);
      return { vector, truncated, tokens: ids.length, inferMs };
    });
  }

  return {
    release,
    embed: async (model, texts) => {
      try {
        return await embed(model, texts);
      } catch (error) {
        // What cannot be used is told of by its name; anything else is nobody's expectation.
        if (error instanceof Problem) return { problem: problemMessage(error) };
        throw error;
      }
    },
  };
}

/** Opens a text tower that was there when the service started. @throws Problem if it cannot be opened now. */
async function openSession(model: ClipTextModelFile): Promise<TextSession> {
  try {
    return await createTextSession(model);
  } catch (cause) {
    if (cause instanceof Problem) throw cause;
    throw new Problem(
      "model-unavailable",
      "The model cannot be used: its text tower cannot be loaded: start the service again, which makes it anew or says what is missing.",
      { cause },
    );
  }
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
