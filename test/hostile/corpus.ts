/** Malformed files of every decoded format: bombs, files cut short, and files damaged at random. */
import { readdir } from "node:fs/promises";
import fc from "fast-check";
import { type Bytes, truncate } from "../support/pictures.ts";
import { avifBombs } from "./bombs/avif.ts";
import { gifBombs } from "./bombs/gif.ts";
import { jpegBombs } from "./bombs/jpeg.ts";
import { pngBombs } from "./bombs/png.ts";
import { tiffBombs } from "./bombs/tiff.ts";
import { webpBombs } from "./bombs/webp.ts";
import { describers } from "./layouts/describers.ts";
import { blindMutations, mutate, structuralMutations } from "./mutations.ts";
import { makeSeeds, type SeedFile } from "./seeds.ts";

/** A file that should do no harm. */
export interface HostileFile {
  /** What was done, so that it can be done again. */
  readonly name: string;
  readonly bytes: Bytes;
}

/** Files that are damaged with one seed of fast-check. */
const perDraw = 100;

const fixtures = new URL("fixtures/", import.meta.url);

/** Files that once did what none should: each showed a fault, which is mended. */
async function readFixtures(): Promise<readonly HostileFile[]> {
  const names = (await readdir(fixtures)).sort();
  return await Promise.all(
    names.map(async (name) => ({ name, bytes: await Bun.file(new URL(name, fixtures)).bytes() })),
  );
}

/** The bombs of every format. */
export async function makeBombs(): Promise<readonly HostileFile[]> {
  const makers = [jpegBombs, pngBombs, webpBombs, gifBombs, tiffBombs, avifBombs];
  return (await Promise.all(makers.map((make) => make()))).flat();
}

/** Every sound file, cut at each hundredth of its length. */
export function* truncations(seeds: readonly SeedFile[]): Generator<HostileFile> {
  for (const { name, bytes } of seeds) {
    for (let percent = 1; percent < 100; percent++) {
      yield { name: `${name}, cut at ${percent} %`, bytes: truncate(bytes, percent) };
    }
  }
}

/** Damaged files without end; the same seed gives the same ones. */
export function* damagedFiles(seeds: readonly SeedFile[], seed: number): Generator<HostileFile> {
  const files = fc
    .record({
      file: fc.constantFrom(...seeds),
      first: fc.oneof(structuralMutations, blindMutations),
      further: fc.array(blindMutations, { maxLength: 2 }),
      isMended: fc.boolean(),
    })
    .map(({ file, first, further, isMended }): HostileFile => {
      let bytes = mutate(file, first, seeds);
      for (const mutation of further) bytes = mutate({ ...file, bytes }, mutation, seeds);
      if (isMended) describers[file.format].mend(bytes);
      return { name: `${file.name}, ${JSON.stringify([first, ...further])}`, bytes };
    });
  for (let draw = 0; ; draw++) yield* fc.sample(files, { seed: seed + draw, numRuns: perDraw });
}

/** All of it, the damaged files last and without end; the same seed gives the same ones. */
export async function* hostileFiles(seed: number): AsyncGenerator<HostileFile> {
  const seeds = await makeSeeds();
  yield* await readFixtures();
  yield* await makeBombs();
  yield* truncations(seeds);
  yield* damagedFiles(seeds, seed);
}
