import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { prepareSynthetic } from "../support/default-model.ts";
import { makeJpeg } from "../support/pictures.ts";
import { testModelsDir } from "../support/service.ts";
import { startChild } from "./child.ts";
import { createPhotos } from "./photo.ts";
import { tableHead, tableRow } from "./report.ts";
import type { ShrinkAnswer, ShrinkQuestion } from "./shrink-child.ts";
import { median, withRange } from "./statistics.ts";

const times = 7;
/** Sides that divide by 8. */
const pictures = [
  { width: 1632, height: 1224, kind: "photo" },
  { width: 4000, height: 3000, kind: "photo" },
  { width: 4000, height: 3000, kind: "text" },
  { width: 5664, height: 4248, kind: "photo" },
  { width: 8160, height: 6120, kind: "photo" },
] as const;
const shrinks = [2, 4, 8];
/** Pixels of the short side that the model's input is made from. */
const side = 224;

/** What JPEG shrink-on-load would save of large photos, and what it would change. The service does not do it. */
export async function* shrinkOnLoad(): AsyncGenerator<string> {
  const { imageTower } = await prepareSynthetic(join(testModelsDir, "synthetic"));
  const folder = await mkdtemp(join(tmpdir(), "imagesvc-bench-"));
  try {
    await using child = startChild<ShrinkQuestion, ShrinkAnswer>({
      args: ["test/bench/shrink-child.ts", imageTower],
    });
    yield `bytes to the model's input on one thread, ${times} times each in turn: median (least to most); grainy photos, and text with its hard edges: fine detail is what shrinking loses; vectors with synthetic weights`;
    yield* tableHead([
      "JPEG",
      "decoded at",
      "short side then",
      "whole, ms",
      "shrunk, ms",
      "saved",
      "pixels, levels of 255: largest, mean difference",
      "cosine of the inputs",
      "cosine of the vectors",
    ]);
    for (const picture of pictures) {
      const path = join(folder, `${picture.kind}-${picture.width}.jpg`);
      const isPhoto = picture.kind === "photo";
      await writeFile(
        path,
        isPhoto ? (await createPhotos(picture, 1))() : await makeJpeg({ ...picture, kind: "text" }),
      );
      for (const shrink of shrinks) {
        if (picture.height / shrink < side) continue;
        yield rowOf(picture, shrink, await askOften(child, { path, shrink }));
      }
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function askOften(
  child: ReturnType<typeof startChild<ShrinkQuestion, ShrinkAnswer>>,
  question: ShrinkQuestion,
): Promise<readonly ShrinkAnswer[]> {
  const answers: ShrinkAnswer[] = [];
  for (let time = 0; time < times; time += 1) answers.push(await child.ask(question));
  return answers;
}

function rowOf(
  { width, height, kind }: (typeof pictures)[number],
  shrink: number,
  answers: readonly ShrinkAnswer[],
): string {
  const [whole, shrunk] = [
    answers.map(({ wholeMs }) => wholeMs),
    answers.map(({ shrunkMs }) => shrunkMs),
  ];
  const saved = median(whole) - median(shrunk);
  const [first] = answers;
  if (first === undefined) throw new Error("nothing was measured");
  return tableRow([
    `${kind}, ${width}×${height}, ${((width * height) / 1e6).toFixed(0)} megapixels`,
    `1/${shrink}`,
    String(height / shrink),
    withRange(whole, 1),
    withRange(shrunk, 1),
    `${saved.toFixed(0)} ms, ${((100 * saved) / median(whole)).toFixed(0)} %`,
    `${first.pixels.largest}, ${first.pixels.mean.toFixed(2)}`,
    first.inputCosine.toFixed(6),
    first.vectorCosine.toFixed(6),
  ]);
}
