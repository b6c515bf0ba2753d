/** A file that left the kernel's memory is read in whole; one that is there is not. */
import { expect, test } from "bun:test";
import { join } from "node:path";
import { bringIntoPageCache } from "../../src/native/page-cache.ts";
import { canForget, forgetFile, shareInMemory } from "../support/page-cache.ts";
import { temporaryFolder } from "../support/tiny-clip.ts";

const fileBytes = 20_000_001;

async function makeForgotten(path: string): Promise<void> {
  await Bun.write(path, new Uint8Array(fileBytes).fill(7));
  await forgetFile(path);
}

/** How often it is asked whether the reading goes on. */
async function piecesOf(path: string): Promise<number> {
  let pieces = 0;
  await bringIntoPageCache(path, () => {
    pieces += 1;
  });
  return pieces;
}

test.if(canForget)("a file that is not in memory is read to its end, once", async () => {
  await using folder = await temporaryFolder();
  const path = join(folder.path, "weights");
  await makeForgotten(path);
  expect(await shareInMemory(path)).toBe(0);
  expect(await piecesOf(path)).toBe(6);
  expect(await shareInMemory(path)).toBe(1);
  expect(await piecesOf(path)).toBe(0);
});

test.if(canForget)("the reading ends when nobody wants it any more", async () => {
  await using folder = await temporaryFolder();
  const path = join(folder.path, "weights");
  await makeForgotten(path);
  const stopped = new Error("nobody waits for it");
  const reading = bringIntoPageCache(path, () => {
    throw stopped;
  });
  await expect(reading).rejects.toBe(stopped);
  expect(await shareInMemory(path)).toBeLessThan(1);
});

test("an empty file, and one that is written just now, need no reading", async () => {
  await using folder = await temporaryFolder();
  const [empty, written] = [join(folder.path, "empty"), join(folder.path, "written")];
  await Bun.write(empty, "");
  await Bun.write(written, new Uint8Array(10_000));
  expect([await piecesOf(empty), await piecesOf(written)]).toEqual([0, 0]);
});

test("a file that is not there is an error of the file system", async () => {
  await expect(bringIntoPageCache("/nowhere/at-all")).rejects.toThrow("ENOENT");
});
