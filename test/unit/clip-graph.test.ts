import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import fc from "fast-check";
import { createSession, type ImageSession } from "../../workers/session.ts";
import { relativeDifference } from "../support/difference.ts";
import { plainImageEmbedding, plainTextEmbedding } from "../support/plain-clip.ts";
import { createTextSession, type TextSession } from "../support/text-session.ts";
import { temporaryFolder, tinyClip, tinyTensors, writeTinyClip } from "../support/tiny-clip.ts";

const { side } = tinyClip.vision;
const { endToken } = tinyClip.text;

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let image: ImageSession;
let text: TextSession;

beforeAll(async () => {
  folder = await temporaryFolder();
  const { imageTower, textTower } = await writeTinyClip(folder.path);
  const { dimensions } = tinyClip;
  image = await createSession({ imageTower, dimensions, side, threads: 1 });
  text = await createTextSession(textTower);
});

afterAll(async () => {
  await image.release();
  await text[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});

/** Pixels as if prepared: float32, [3, side, side]. */
function picture(seed: string): Float32Array<ArrayBuffer> {
  return tinyTensors.read(`${seed}.bias`, [3, side, side]).map((value) => value * 3);
}

/** Brings sequences to the longest one's length with end tokens. */
function padded(sequences: readonly (readonly number[])[]): number[][] {
  const length = Math.max(...sequences.map((ids) => ids.length));
  return sequences.map((ids) => Array.from({ length }, (_, at) => ids[at] ?? endToken));
}

async function embedText(ids: readonly number[]): Promise<Float32Array> {
  const [vector] = await text.embed([ids]);
  return vector ?? new Float32Array();
}

describe("the image tower in onnxruntime", () => {
  test("agrees with a plain implementation of CLIP", async () => {
    for (const pixels of [picture("one"), picture("two")]) {
      const expected = plainImageEmbedding(tinyClip, tinyTensors, pixels);
      expect(relativeDifference(await image.run(pixels, 1), expected)).toBeLessThan(1e-4);
    }
  });

  test("gives a picture the same vector alone and in a batch", async () => {
    const pictures = ["one", "two", "three"].map(picture);
    const batch = new Float32Array(pictures.flatMap((pixels) => Array.from(pixels)));
    const together = await image.run(batch, 3);
    for (const [item, pixels] of pictures.entries()) {
      const alone = await image.run(pixels, 1);
      const row = together.slice(item * alone.length, (item + 1) * alone.length);
      expect(relativeDifference(row, alone)).toBeLessThan(1e-6);
    }
  });

  test("gives different pictures clearly different vectors", async () => {
    const [one, two] = [await image.run(picture("one"), 1), await image.run(picture("two"), 1)];
    expect(relativeDifference(one, two)).toBeGreaterThan(0.1);
  });
});

describe("the text tower in onnxruntime", () => {
  test("agrees with a plain implementation of CLIP, up to the longest sequence", async () => {
    for (const ids of [[endToken], [28, 3, endToken], [28, 3, 4, 5, 6, 7, 8, 9, endToken]]) {
      const expected = plainTextEmbedding(tinyClip, tinyTensors, ids);
      expect(relativeDifference(await embedText(ids), expected)).toBeLessThan(1e-4);
    }
  });

  test("is not changed by what follows the first end token", async () => {
    const ids = [28, 3, 17, endToken];
    const expected = await embedText(ids);
    const endPadded = await embedText([...ids, endToken, endToken]);
    const otherPadded = await embedText([...ids, 0, 11, endToken]);
    expect(relativeDifference(endPadded, expected)).toBeLessThan(1e-6);
    expect(relativeDifference(otherPadded, expected)).toBeLessThan(1e-6);
  });

  test("depends on every token before the end, and on their order", async () => {
    const vector = await embedText([28, 3, 17, endToken]);
    for (const other of [
      [28, 17, 3, endToken],
      [27, 3, 17, endToken],
      [28, 3, endToken],
    ]) {
      expect(relativeDifference(await embedText(other), vector)).toBeGreaterThan(0.01);
    }
  });

  test("pools each sequence of a batch at its own end", async () => {
    const sequences = [
      [28, 3, 17, 5, endToken],
      [28, endToken, endToken, endToken, endToken],
      [28, 9, endToken, 4, 4],
    ];
    const vectors = await text.embed(sequences);
    for (const [item, ids] of sequences.entries()) {
      const expected = plainTextEmbedding(tinyClip, tinyTensors, ids);
      expect(relativeDifference(vectors[item] ?? [], expected)).toBeLessThan(1e-4);
    }
  });

  test("gives a sequence the vector that it has alone, whichever others it shares an inference with", async () => {
    const token = fc.integer({ min: 0, max: endToken - 1 });
    const sequence = fc.array(token, { maxLength: tinyClip.text.maxTokens - 1 });
    const sequences = fc.array(sequence, { minLength: 1, maxLength: 12 });
    const ofAnInference = fc.integer({ min: 1, max: 12 });
    await fc.assert(
      fc.asyncProperty(sequences, ofAnInference, async (given, most) => {
        const texts = given.map((tokens) => [...tokens, endToken]);
        for (let start = 0; start < texts.length; start += most) {
          const together = texts.slice(start, start + most);
          const vectors = await text.embed(padded(together));
          for (const [item, ids] of together.entries()) {
            const alone = await embedText(ids);
            expect(relativeDifference(vectors[item] ?? [], alone)).toBeLessThan(1e-6);
          }
        }
      }),
    );
  });

  test("refuses a sequence that is too long and an id that is not in the vocabulary", async () => {
    const tooLong = Array.from({ length: tinyClip.text.maxTokens }, () => 3);
    await expect(embedText([...tooLong, endToken])).rejects.toThrow();
    await expect(embedText([endToken + 1, endToken])).rejects.toThrow();
  });
});
