/** `imagesvc models verify` with the real workers and core, and the synthetic model. */
import { expect, test } from "bun:test";
import { join } from "node:path";
import { runMain } from "../support/process.ts";
import { temporaryFolder } from "../support/tiny-clip.ts";

test("says that the synthetic model gives torch's numbers, and what it left out", async () => {
  await using folder = await temporaryFolder();
  const argv = ["models", "verify", "--json", "--pictures", folder.path];
  const { code, output, errors } = await runMain(argv);
  expect([code, errors]).toEqual([0, expect.stringContaining("running clip-ViT-B-32")]);
  const checks: { what: string; verdict: string; difference?: number }[] = JSON.parse(output);
  const named = (verdict: string) =>
    checks.filter((check) => check.verdict === verdict).map(({ what }) => what);
  expect(named("wrong")).toEqual([]);
  expect(named("left out")).toContainAllValues([
    "two_dogs_in_snow.jpg",
    "cat.jpg",
    "eiffel-tower-day.jpg",
    "000000039769.jpg",
    "CLIP.png",
    "published values",
  ]);
  expect(named("right")).toContain(`pattern 640x480, cosine of "hello world"`);
  expect(named("right")).toContain("images in batches, against each alone");
});

test("a folder of pictures that is none is wrong usage", async () => {
  const missing = join(import.meta.dir, "missing");
  const { code, errors } = await runMain(["models", "verify", "--pictures", missing]);
  expect(code).toBe(2);
  expect(errors).toContain(`"${missing}" is no folder: check its path`);
});
