/** A model that is written to a disk without room for it. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import { modelFilesIn } from "../../src/models/prepared.ts";
import { bytesToWrite } from "../../src/models/prepared-check.ts";
import { prepareModel } from "../../workers/prepare-model.ts";
import { mountSmallDisk, type SmallDisk } from "../support/small-disk.ts";
import { temporaryFolder, tinyClip } from "../support/tiny-clip.ts";

const from = { kind: "seed", architecture: tinyClip } as const;
const pageBytes = 4096;

let place: Awaited<ReturnType<typeof temporaryFolder>>;
let disk: SmallDisk | undefined;

beforeEach(async () => {
  place = await temporaryFolder();
  const mountPoint = join(place.path, "disk");
  await mkdir(mountPoint);
  disk = await mountSmallDisk(mountPoint, 2_000_000);
});
afterEach(async () => {
  await disk?.[Symbol.asyncDispose]();
  await place[Symbol.asyncDispose]();
});

/** Pages that both files of tensors take together. */
async function pagesFor(folder: string): Promise<number> {
  return Math.ceil((await bytesToWrite(modelFilesIn(folder), tinyClip)) / pageBytes) + 1;
}

test("it is not begun where the check beforehand finds no room, and another try may help", async () => {
  if (disk === undefined) return;
  const folder = join(disk.path, "prepared");
  await disk.fill(((await pagesFor(folder)) - 2) * pageBytes);
  expect(await prepareModel({ folder, from })).toEqual({
    unavailable: expect.stringMatching(
      /^The model could not be written: the disk of MODELS_DIR has \d+ MB free, and \d+ MB are needed: free space\.$/,
    ),
    mayPass: true,
  });
  expect(await readdir(folder)).toEqual([]);
  await disk.clear();
  expect(await prepareModel({ folder, from })).toMatchObject(modelFilesIn(folder));
});

test("a disk that fills meanwhile leaves nothing half-written, and another try may help", async () => {
  if (disk === undefined) return;
  const folder = join(disk.path, "prepared");
  // Enough for the tensors, as the check wants it, but not for the graphs beside them.
  await disk.fill((await pagesFor(folder)) * pageBytes);
  expect(await prepareModel({ folder, from })).toEqual({
    unavailable: "The model could not be written: the disk of MODELS_DIR is full: free space.",
    mayPass: true,
  });
  expect((await readdir(folder)).filter((name) => name.endsWith(".tmp"))).toEqual([]);
  await disk.clear();
  expect(await prepareModel({ folder, from })).toMatchObject(modelFilesIn(folder));
});

test("room is counted file by file: each replaces an earlier one", async () => {
  const folder = join(place.path, "prepared");
  const files = modelFilesIn(folder);
  const anew = await bytesToWrite(files, tinyClip);
  await prepareModel({ folder, from });
  const again = await bytesToWrite(files, tinyClip);
  const sizes = [files.imageTower, files.textTower].map((path) => Bun.file(`${path}.data`).size);
  expect([anew, again]).toEqual([sizes.reduce((sum, size) => sum + size, 0), Math.max(...sizes)]);
});
