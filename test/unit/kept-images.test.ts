/** Deleting kept images while others tidy the same folder. */
import { expect, test } from "bun:test";
import { readdir } from "node:fs/promises";
import { createDownloads } from "../../src/store/downloads.ts";
import { deleteUnlessKeptAgain, keptImages } from "../../src/store/kept-images.ts";
import { putImage } from "../support/kept-images.ts";
import { temporaryFolder } from "../support/tiny-clip.ts";

test("a start that sweeps the folder meanwhile disturbs no deletion", async () => {
  await using folder = await temporaryFolder();
  const directory = folder.path;
  for (let index = 0; index < 200; index += 1)
    await putImage(directory, `${index}`, { ageMs: 1e6 });
  const images = await Array.fromAsync(keptImages(directory));
  let isDeleting = true;
  const sweep = async () => {
    while (isDeleting) await createDownloads({ directory, minFreeBytes: 0 }).prepare();
  };
  const sweeping = [sweep(), sweep(), sweep()];
  for (const image of images) expect(await deleteUnlessKeptAgain(directory, image)).toBe(true);
  isDeleting = false;
  await Promise.all(sweeping);
  expect(await readdir(directory)).toEqual([]);
});
