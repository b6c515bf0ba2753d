/** `imagesvc search`, as a process of its own with synthetic weights. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { chmod, mkdir, mkdtemp, readdir, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { extname, join } from "node:path";
import sharp from "sharp";
import { makeJpeg, makePng, truncate } from "../support/pictures.ts";
import { runMain } from "../support/process.ts";

let folder: string;
let pictures: string;
let cache: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "imagesvc-search-"));
  pictures = join(folder, "pictures");
  cache = join(folder, "cache");
  await mkdir(join(pictures, "deeper"), { recursive: true });
  await Bun.write(join(pictures, "a.jpg"), await makeJpeg({ seed: 1 }));
  await Bun.write(join(pictures, "broken.jpg"), truncate(await makeJpeg({ seed: 2 }), 50));
  await Bun.write(join(pictures, "deeper/c.png"), await makePng({ seed: 3, kind: "text" }));
  await Bun.write(join(pictures, "notes.txt"), "no picture");
});
afterAll(() => rm(folder, { recursive: true }));

function search(...argv: string[]) {
  return runMain(["search", pictures, "a photo of a cat", ...argv], { CACHE_DIR: cache });
}

test("the best matches are printed; only what is new is embedded, and what is gone is forgotten", async () => {
  const first = await search("--json");
  expect(first.code).toBe(0);
  expect(first.errors).toContain("2 new of 2 pictures embedded");
  expect(first.errors).toContain(`${join(pictures, "broken.jpg")}: The bytes start like a JPEG`);
  expect(first.errors).toContain("The weights are synthetic: these matches mean nothing.");
  const matches: { path: string; cosine: number }[] = JSON.parse(first.output);
  expect(matches.map(({ path }) => path).sort()).toEqual([
    join(pictures, "a.jpg"),
    join(pictures, "deeper/c.png"),
  ]);
  const [best, second] = matches;
  expect(best?.cosine).toBeGreaterThan(second?.cosine ?? 1);

  const again = await search("--top", "1");
  expect(again.errors).not.toContain("embedded");
  expect(again.output).toBe(`${best?.cosine.toFixed(4).padStart(7)}  ${best?.path}\n`);

  await rm(join(pictures, "a.jpg"));
  await Bun.write(join(pictures, "deeper/c.png"), await makePng({ seed: 4, kind: "noise" }));
  const changed = await search("--json");
  expect(changed.errors).toContain("1 new of 1 pictures embedded");
  expect(JSON.parse(changed.output)).toEqual([
    { path: join(pictures, "deeper/c.png"), cosine: expect.any(Number) },
  ]);
  const names = await readdir(join(cache, "search"));
  expect(names.map((name) => extname(name)).sort()).toEqual([".sqlite", ".vectors"]);
});

test("--open writes one page with the pictures in it, and opens it in the browser", async () => {
  const name = `<img src=x onerror=alert(1)> "&'.jpg`;
  await Bun.write(join(pictures, name), await makeJpeg({ seed: 7, width: 900, kind: "noise" }));
  const [programs, opened] = [join(folder, "programs"), join(folder, "opened")];
  await mkdir(programs);
  const opener = join(programs, "xdg-open");
  await Bun.write(opener, `#!/bin/sh\necho "$1" > "${opened}"\n`);
  await chmod(opener, 0o755);
  const { code, output, errors } = await runMain(["search", pictures, "a <cat>", "--open"], {
    CACHE_DIR: cache,
    PATH: `${programs}:/usr/bin:/bin`,
  });
  const page = join(cache, "search/matches.html");
  expect(errors).toContain(`the matches are shown in ${page}\n`);
  expect([code, output.split("\n")]).toEqual([
    0,
    expect.arrayContaining([expect.stringContaining(name)]),
  ]);
  while (!(await Bun.file(opened).exists()) || Bun.file(opened).size === 0) await Bun.sleep(5);
  expect(await Bun.file(opened).text()).toBe(`${page}\n`);
  const html = await Bun.file(page).text();
  expect((await stat(page)).mode & 0o777).toBe(0o600);
  expect(html).toContain("<h1>a &lt;cat&gt;</h1>");
  expect(html).not.toContain("<img src=x");
  expect(html).toContain("The weights are synthetic");
  const images = [...html.matchAll(/src="data:image\/(?:jpeg|png);base64,([^"]+)"/g)];
  expect(images).toHaveLength(output.trim().split("\n").length);
  for (const [, base64 = ""] of images) {
    expect(base64.length).toBeLessThan(40_001);
    expect((await sharp(Buffer.from(base64, "base64")).stats()).channels).toHaveLength(3);
  }
  expect(/(?:src|href)="(?!data:|file:)/.test(html)).toBe(false);
});

test("an empty folder has no matches", async () => {
  const empty = join(folder, "empty");
  await mkdir(empty);
  const { code, output, errors } = await runMain(["search", empty, "cat", "--json"], {
    CACHE_DIR: cache,
  });
  expect({ code, output }).toEqual({ code: 0, output: "[]\n" });
  expect(errors).toContain(`there are no pictures in ${empty}`);
});

test.each([
  [["search", "/nowhere", "cat"], 1, '"/nowhere" is no folder'],
  [["search", tmpdir(), "cat", "--top", "0"], 2, "--top must be a whole number from 1"],
  [["search", tmpdir(), "cat", "--open", "--top", "201"], 2, "--open shows at most 200 pictures"],
  [["search", tmpdir()], 2, "TEXT is missing"],
  [["search", tmpdir(), " "], 2, "TEXT is empty"],
])("what cannot be searched is told: %p", async (argv, expected, sentence) => {
  const { code, output, errors } = await runMain(argv);
  expect({ code, output }).toEqual({ code: expected, output: "" });
  expect(errors).toContain(sentence);
});

test("a cache folder that cannot be made is one sentence with the mend, before the model is loaded", async () => {
  const { code, output, errors } = await runMain(["search", pictures, "cat"], {
    CACHE_DIR: join(pictures, "notes.txt"),
  });
  expect({ code, output, errors }).toEqual({
    code: 1,
    output: "",
    errors:
      "imagesvc: search: the index cannot be kept (ENOTDIR): set CACHE_DIR to a folder that this user can write\n",
  });
});
