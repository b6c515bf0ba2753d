import type { Answers, ClipTextModelFile } from "../src/backends/protocol.ts";
import { Problem } from "../src/errors.ts";
import {
  createClipTokenizer,
  type TokenizedText,
  type Tokenizer,
} from "../src/text/clip-tokenizer.ts";
import { parseVocabulary } from "../src/text/clip-vocabulary.ts";
import { loadClipMerges } from "./clip-merges.ts";
import type { CoreGate } from "./core-gate.ts";
import { problemMessage } from "./problem-message.ts";
import { createTextSession, type TextSession } from "./session.ts";

/** Embeds texts, with whatever that takes loaded when it is first needed. */
export interface TextEmbedder {
  /**
   * Embeds the texts, in one inference or few.
   *
   * @returns a problem if the tower was changed since it was checked, cannot be loaded, or is broken.
   * @throws Error of the inference itself.
   */
  embed(
    model: ClipTextModelFile,
    gate: CoreGate,
    texts: readonly string[],
  ): Promise<Answers["embed-texts"]>;
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

  async function embed(model: ClipTextModelFile, gate: CoreGate, texts: readonly string[]) {
    tokenize ??= createClipTokenizer(parseVocabulary(await loadClipMerges()));
    const session = await sessionOf(model);
    const startedMs = performance.now();
    const tokenized = texts.map(tokenize);
    const vectors: Float32Array<ArrayBuffer>[] = [];
    const lengths = tokenized.map(({ ids }) => ids.length);
    for (const group of groupByLength(lengths, paddingCost(model))) {
      const { inputIds, length } = padded(group.flatMap((index) => tokenized[index] ?? []));
      const rows = await gate.onShare(() => session.run(inputIds, group.length, length));
      for (const [row, index] of group.entries()) {
        vectors[index] = rows.slice(row * model.dimensions, (row + 1) * model.dimensions);
      }
    }
    const inferMs = performance.now() - startedMs;
    return tokenized.flatMap(({ ids, truncated }, index) => {
      const vector = vectors[index];
      return vector === undefined ? [] : [{ vector, truncated, tokens: ids.length, inferMs }];
    });
  }

  return {
    release,
    embed: async (model, gate, texts) => {
      try {
        return await embed(model, gate, texts);
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
 * What an inference costs beside its tokens, as so many tokens: its weights are read once. Measured on one
 * thread, ViT-B/32: a batch takes 6 ms and 0.33 ms a token (`bun run bench shapes`).
 */
const tokensOfAnInference = 18;

/**
 * What a token of padding costs, as part of any other: in our graph attention alone computes it. Measured on one
 * thread, ViT-B/32: 0.025 ms.
 */
function paddingCost({ skipsPadding }: ClipTextModelFile): number {
  return skipsPadding ? 0.08 : 1;
}

/**
 * Divides sequences into those that go into an inference together, so that padding them to one length and the
 * inferences themselves cost least.
 *
 * @param lengths tokens of each sequence, end tokens included.
 * @param paddingCost what a token of padding costs, as part of any other.
 * @returns indexes of the sequences of each inference, shorter ones first.
 */
export function groupByLength(
  lengths: readonly number[],
  paddingCost: number,
): readonly (readonly number[])[] {
  const sorted = [...lengths.entries()].sort(([, one], [, other]) => one - other);
  /** Of the first so many: the least cost, and where the last group starts then. */
  const best: { readonly cost: number; readonly start: number }[] = [{ cost: 0, start: 0 }];
  for (const [last, [, length]] of sorted.entries()) {
    const choices = best.map(({ cost }, start) => ({
      // What is no padding costs the same in every division.
      cost: cost + tokensOfAnInference + paddingCost * (last + 1 - start) * length,
      start,
    }));
    best.push(choices.reduce((one, other) => (other.cost < one.cost ? other : one)));
  }
  const groups: number[][] = [];
  for (let end = sorted.length; end > 0; ) {
    const start = best[end]?.start ?? 0;
    groups.unshift(sorted.slice(start, end).map(([index]) => index));
    end = start;
  }
  return groups;
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
