/** `imagesvc embed`, as a process of its own with synthetic weights. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdir, mkdtemp, open, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { tryLock } from "../../src/native/file-lock.ts";
import { respond, startOrigin } from "../support/origin.ts";
import { makeJpeg, makePng, truncate } from "../support/pictures.ts";
import { runMain, startProcess } from "../support/process.ts";

/** A line of the output, whichever it is. */
interface OutputRecord {
  readonly source: string;
  readonly model?: string;
  readonly dimensions?: number;
  readonly sha256?: string;
  readonly text?: string;
  readonly truncated?: boolean;
  readonly vector?: readonly number[];
  readonly error?: { readonly code: string; readonly detail: string };
}

let folder: string;
let pictures: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "imagesvc-embed-"));
  pictures = join(folder, "pictures");
  await mkdir(join(pictures, "deeper"), { recursive: true });
  await Bun.write(join(pictures, "a.jpg"), await makeJpeg({ seed: 1 }));
  await Bun.write(join(pictures, "b.jpg"), truncate(await makeJpeg({ seed: 2 }), 50));
  await Bun.write(join(pictures, "deeper/c.dat"), await makePng({ seed: 3 }));
  await Bun.write(join(pictures, "notes.txt"), "no picture");
});
afterAll(() => rm(folder, { recursive: true }));

const model = "clip-ViT-B-32@synthetic";

function recordsOf(output: string): OutputRecord[] {
  expect(output === "" || output.endsWith("\n")).toBe(true);
  return output
    .split("\n")
    .slice(0, -1)
    .map((line) => JSON.parse(line));
}

function outcomes(records: readonly OutputRecord[]) {
  return records.map(({ source, error }) => [source, error?.code ?? "vector"]);
}

function lengthOf(vector: readonly number[] = []): number {
  return Math.hypot(...vector);
}

describe("images", () => {
  test("of folders and files become records in their order; a bad one is a record of its own", async () => {
    const [missing, notes] = [join(folder, "missing.jpg"), join(pictures, "notes.txt")];
    const { code, output, errors } = await runMain(["embed", pictures, missing, notes]);
    const records = recordsOf(output);
    expect(outcomes(records)).toEqual([
      [join(pictures, "a.jpg"), "vector"],
      [join(pictures, "b.jpg"), "undecodable-image"],
      [join(pictures, "deeper/c.dat"), "vector"],
      [missing, "not-found"],
      [notes, "unsupported-image"],
    ]);
    const bytes = await Bun.file(join(pictures, "a.jpg")).bytes();
    expect(records[0]).toMatchObject({ model, dimensions: 512 });
    expect(records[0]?.sha256).toBe(new Bun.CryptoHasher("sha256").update(bytes).digest("hex"));
    expect(records[0]?.vector).toHaveLength(512);
    expect(lengthOf(records[0]?.vector)).toBeGreaterThan(2);
    expect(errors).toContain(
      "2 embedded, 3 failed (1 undecodable-image, 1 not-found, 1 unsupported-image), 1 skipped that are no images\n",
    );
    expect(code).toBe(1);
  });

  test("of a list on stdin, URLs too, go into files, errors into their own", async () => {
    const bytes = await makeJpeg({ seed: 1 });
    await using origin = await startOrigin({ "/a.jpg": respond({ body: bytes }) });
    const [out, errorFile] = [join(folder, "out.jsonl"), join(folder, "errors.jsonl")];
    const list = [origin.url("/a.jpg"), "", join(pictures, "a.jpg"), origin.url("/gone")].join(
      "\n",
    );
    const { code, output } = await runMain(
      ["embed", "-", "--normalize", "--out", out, "--errors", errorFile],
      { FETCH_ALLOW: "127.0.0.1" },
      list,
    );
    expect({ code, output }).toEqual({ code: 1, output: "" });
    const [fetched, local, ...others] = recordsOf(await Bun.file(out).text());
    expect(others).toEqual([]);
    expect(fetched?.vector).toEqual(local?.vector ?? []);
    expect(lengthOf(fetched?.vector)).toBeCloseTo(1, 5);
    expect(outcomes(recordsOf(await Bun.file(errorFile).text()))).toEqual([
      [origin.url("/gone"), "origin-error"],
    ]);
  });

  test("that are all good are exit code 0, and nothing is kept of them", async () => {
    const downloads = join(folder, "downloads");
    const picture = join(pictures, "a.jpg");
    const { code } = await runMain(["embed", picture, "--unordered"], { DOWNLOADS_DIR: downloads });
    expect(code).toBe(0);
    expect(await Bun.file(downloads).exists()).toBe(false);
  });
});

describe("images that cannot be embedded", () => {
  test("are failures, and not skipped, by what their names say", async () => {
    const damaged = join(folder, "damaged");
    await mkdir(damaged);
    await Bun.write(join(damaged, "empty.JPG"), "");
    await Bun.write(join(damaged, "fake.png"), "garbage");
    await Bun.write(join(damaged, "notes.txt"), "no picture");
    await symlink("gone.jpg", join(damaged, "link.jpg"));
    await symlink("gone.txt", join(damaged, "link.txt"));
    const { code, output, errors } = await runMain(["embed", damaged]);
    const records = recordsOf(output);
    expect(outcomes(records)).toEqual([
      [join(damaged, "empty.JPG"), "unsupported-image"],
      [join(damaged, "fake.png"), "unsupported-image"],
      [join(damaged, "link.jpg"), "not-found"],
    ]);
    expect(records[2]?.error?.detail).toStartWith("This link leads to no file");
    expect(errors).toContain(
      "0 embedded, 3 failed (2 unsupported-image, 1 not-found), 2 skipped that are no images\n",
    );
    expect(code).toBe(1);
  });

  test("since their URLs have another scheme are told so", async () => {
    const { code, output } = await runMain(["embed", "ftp://127.0.0.1/a.jpg"]);
    expect(code).toBe(1);
    expect(recordsOf(output)).toMatchObject([
      {
        error: {
          code: "invalid-image-url",
          detail: expect.stringContaining("http:// and https://"),
        },
      },
    ]);
  });
});

describe("texts", () => {
  test("are embedded line by line, the empty ones too", async () => {
    const path = join(folder, "captions.txt");
    await Bun.write(path, `a cat\r\n\n${"long ".repeat(100)}`);
    const { code, output } = await runMain(["embed", "--text", path, "-"], {}, "a cat\n");
    expect(code).toBe(0);
    const records = recordsOf(output);
    expect(
      records.map(({ source, text, truncated }) => [source, text?.slice(0, 5), truncated]),
    ).toEqual([
      [`${path}:1`, "a cat", false],
      [`${path}:2`, "", false],
      [`${path}:3`, "long ", true],
      ["-:1", "a cat", false],
    ]);
    expect(records[0]).toMatchObject({ model, dimensions: 512 });
    const [first, , , last] = records.map(({ vector = [] }) => vector);
    first?.forEach((component, index) => {
      expect(component).toBeCloseTo(last?.[index] ?? Number.NaN, 4);
    });
  });
});

describe("an interruption", () => {
  test("ends soon with 130, and leaves whole records", async () => {
    const out = join(folder, "interrupted.jsonl");
    const many = join(folder, "many");
    await mkdir(many);
    const bytes = await makeJpeg({ width: 400, height: 300 });
    for (let index = 0; index < 400; index += 1) await Bun.write(join(many, `${index}.jpg`), bytes);
    const main = join(import.meta.dir, "../../src/main.ts");
    const command = [process.execPath, main, "embed", many, "--out", out];
    await using child = await startProcess({}, { command });
    await child.logged(/"model ready"/);
    while (((await Bun.file(out).exists()) ? Bun.file(out).size : 0) === 0) await Bun.sleep(5);
    child.signal("SIGINT");
    expect(await child.exited).toBe(130);
    const records = recordsOf(await Bun.file(out).text());
    expect(records.length).toBeGreaterThan(0);
    expect(records.length).toBeLessThan(400);
    expect(child.log()).toContain(`${records.length} embedded`);
  });
});

describe("what cannot be done is told before anything is done", () => {
  test.each([
    [["embed"], 2, "SOURCE is missing"],
    [["embed", "a.jpg", "--out", "x.csv"], 2, "files of vectors end in .jsonl, .npy or .parquet"],
    [["embed", "a.jpg", "--errors", "x.npy"], 2, "its name must end in .jsonl"],
    [["embed", "a.jpg", "--resume"], 2, "--resume goes on with a file: name it with --out"],
    [["embed", "a.jpg", "--shard", "17/16"], 2, "it must be such as 3/16, from 1/16 to 16/16"],
    [["embed", "a.jpg", "--remote", "ftp://x"], 2, "--remote must be an http:// or https:// URL"],
    [["embed", "a.jpg", "--remote", "http://a:b@x"], 2, "without user name, password and query"],
    [["embed", "a.jpg", "--out", "x.jsonl", "--errors", "x.jsonl"], 2, "name the same file"],
    [["embed", "-", "-"], 2, "stdin can be read once"],
    [["embed", "a.jpg", "--model", "nobody"], 2, 'there is no model "nobody"'],
    [["embed", "a.jpg", "--model", "nv-dinov2"], 1, "NVIDIA_API_KEY"],
  ])("%p", async (argv, expected, sentence) => {
    const { code, output, errors } = await runMain(argv);
    expect({ code, output }).toEqual({ code: expected, output: "" });
    expect(errors).toContain(sentence);
  });

  test("weights that are not there", async () => {
    const environment = { CLIP_WEIGHTS: "openai", MODELS_DIR: folder, HF_HUB_OFFLINE: "true" };
    const { code, errors } = await runMain(["embed", pictures], environment);
    expect(code).toBe(1);
    expect(errors).toContain("imagesvc: clip-ViT-B-32 is not ready: ");
  });

  test.each(["--out", "--errors"])("a file of %s that cannot be written", async (option) => {
    const path = join(folder, "nowhere/out.jsonl");
    const { code, errors } = await runMain(["embed", pictures, option, path]);
    expect({ code, errors }).toEqual({
      code: 1,
      errors: `imagesvc: embed: ${path} cannot be written (ENOENT): make its folder, or choose another path\n`,
    });
  });

  test.each([
    ["out.jsonl", "out.jsonl"],
    ["out.npy", "out.npy.journal.jsonl"],
  ])("a file that another run writes to (%s), which is left as it is", async (out, locked) => {
    const path = join(folder, locked);
    await Bun.write(path, "theirs\n");
    await using theirs = await open(path, "a");
    expect(tryLock(theirs)).toBe(true);
    const { code, errors } = await runMain(["embed", pictures, "--out", join(folder, out)]);
    expect({ code, errors }).toEqual({
      code: 1,
      errors: `imagesvc: embed: ${path} is being written by another run: wait for its end, or name another file\n`,
    });
    expect(await Bun.file(path).text()).toBe("theirs\n");
  });

  test("and the records of an earlier run stay until there are others", async () => {
    const path = join(folder, "earlier.jsonl");
    await Bun.write(path, "earlier\n");
    expect((await runMain(["embed", pictures, "--out", path, "--model", "nobody"])).code).toBe(2);
    expect(await Bun.file(path).text()).toBe("earlier\n");
    await runMain(["embed", join(pictures, "a.jpg"), "--out", path]);
    expect(recordsOf(await Bun.file(path).text())).toHaveLength(1);
  });

  test("a full disk behind stdout is one sentence", async () => {
    const main = join(import.meta.dir, "../../src/main.ts");
    const path = join(pictures, "a.jpg");
    const command = `exec "${process.execPath}" "${main}" embed "${path}" > /dev/full`;
    await using child = await startProcess({}, { command: ["sh", "-c", command] });
    expect(await child.exited).toBe(1);
    expect(child.log()).toContain("stdout cannot be written (ENOSPC): free space");
  });
});
