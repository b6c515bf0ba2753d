import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { builtExecutable } from "../support/executable.ts";
import { testModelsDir } from "../support/service.ts";
import { createPhotos, photoSize } from "./photo.ts";
import { referenceShapes, startReference } from "./reference.ts";
import { findingRow, findingsHead } from "./report.ts";
import { highest, median, ratios, withRange } from "./statistics.ts";

const files = 2000;
const batch = 8;
const referenceMs = 3000;
const deadlineMs = 300_000;
const wanted = 0.92;
/** In the order of the files, and as they come. */
const orders = ["embed", "embed --unordered"] as const;

export interface EmbedOptions {
  /** How often everything is done. */
  readonly rounds: number;
}

/** Of one run of the command: images a second. */
interface Seen {
  readonly embedded: number;
  /** Of onnxruntime alone, by the division of the cores. */
  readonly bare: readonly number[];
}

/** Files a second of `imagesvc embed`, from before its start to after its end, over bare onnxruntime. */
export async function* embed({ rounds }: EmbedOptions): AsyncGenerator<string> {
  const executable = await builtExecutable();
  const folder = await mkdtemp(join(tmpdir(), "imagesvc-bench-embed-"));
  try {
    const photos = join(folder, "photos");
    await writePhotos(photos);
    const { oneSession, manySessions } = referenceShapes();
    await using one = await startReference(oneSession);
    await using many = await startReference(manySessions);
    const seen = orders.map(() => [] as Seen[]);
    for (let round = 0; round < rounds; round += 1) {
      for (const [index, command] of orders.entries()) {
        const before = await ratesOf([one, many]);
        const scratch = join(folder, `round-${round}-${index}`);
        const embedded = await embedFolder([executable, ...command.split(" ")], photos, scratch);
        const after = await ratesOf([one, many]);
        // The command runs for long: the reference is what the machine gives before and after it.
        const bare = before.map((rate, at) => (rate + (after[at] ?? Number.NaN)) / 2);
        seen[index]?.push({ embedded, bare });
      }
    }
    yield `the executable's embed over ${files} files (${photoSize.width}×${photoSize.height} JPEG), in their order and as they come, nothing cached, ${rounds} times each in turn: median (least to most)`;
    yield* findingsHead;
    for (const [index, runs] of seen.entries()) {
      const embedded = runs.map((run) => run.embedded);
      const bare = fasterOf(runs);
      const compared = ratios(embedded, bare);
      yield findingRow({
        what: `\`${orders[index]}\` over ${files} small files, its start included, images/s`,
        measured: withRange(embedded, 1),
        reference: `bare onnxruntime, batches of ${batch}, the faster division of the cores, before and after: ${withRange(bare, 1)}`,
        compared: withRange(compared, 2),
        wanted: `at least ${wanted}`,
        isMet: median(compared) >= wanted,
      });
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function writePhotos(folder: string): Promise<void> {
  const nextPhoto = await createPhotos();
  await mkdir(folder);
  for (let file = 0; file < files; file += 1) {
    await writeFile(join(folder, `${String(file).padStart(5, "0")}.jpg`), nextPhoto());
  }
}

type References = readonly Awaited<ReturnType<typeof startReference>>[];

/** Images a second of each. */
async function ratesOf(references: References): Promise<readonly number[]> {
  const rates: number[] = [];
  for (const reference of references) {
    rates.push((await reference.observe(batch, referenceMs)).imagesPerS);
  }
  return rates;
}

/** What the division of the cores gave in each round that is faster over all of them: the best of each is luck. */
function fasterOf(runs: readonly Seen[]): readonly number[] {
  const divisions = (runs[0]?.bare ?? []).map((_, at) =>
    runs.map(({ bare }) => bare[at] ?? Number.NaN),
  );
  return highest(divisions, (rates) => rates) ?? [];
}

/**
 * Runs the command with a cache of its own, so that nothing is known beforehand.
 *
 * @returns files a second.
 * @throws Error when it fails, or has not one record for each file.
 */
async function embedFolder(
  command: readonly string[],
  photos: string,
  folder: string,
): Promise<number> {
  const out = join(folder, "vectors.jsonl");
  await mkdir(folder);
  const startedAt = performance.now();
  const child = Bun.spawn([...command, photos, "--out", out], {
    cwd: folder,
    env: {
      CLIP_WEIGHTS: "synthetic",
      MODELS_DIR: testModelsDir,
      DOWNLOADS_DIR: join(folder, "downloads"),
      CACHE_DIR: join(folder, "cache"),
    },
    stdio: ["ignore", "ignore", Bun.file(join(folder, "log"))],
    timeout: deadlineMs,
  });
  const code = await child.exited;
  const tookS = (performance.now() - startedAt) / 1000;
  if (code !== 0)
    throw new Error(`embed ended with ${code}: ${await Bun.file(join(folder, "log")).text()}`);
  const records = (await Bun.file(out).text()).trimEnd().split("\n").length;
  if (records !== files) throw new Error(`embed wrote ${records} records for ${files} files`);
  return files / tookS;
}
