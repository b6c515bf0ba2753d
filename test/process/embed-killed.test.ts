/** `imagesvc embed` that is killed, interrupted, divided, or goes on: nothing is lost but what was under way, nothing done twice. */
import { Database } from "bun:sqlite";
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdir, readFile, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import fc from "fast-check";
import { embeddingDatabasePath, openToWrite } from "../../src/store/embedding-database.ts";
import { writeEmbeddings } from "../../src/store/embedding-rows.ts";
import { startHub } from "../support/hub.ts";
import { makeJpeg } from "../support/pictures.ts";
import { type ServiceProcess, startProcess } from "../support/process.ts";
import { smallModel, smallProgram, smallWeights } from "../support/small-model.ts";
import { temporaryFolder } from "../support/tiny-clip.ts";

const hub = await startHub(smallWeights());
const folder = await temporaryFolder();
const { program, environment } = await smallProgram(folder.path, hub.file);
const settings = {
  PATH: Bun.env["PATH"] ?? "",
  HOME: folder.path,
  HF_ENDPOINT: hub.endpoint,
  HF_HUB_OFFLINE: "false",
  CLIP_WEIGHTS: "openai",
  MODELS_DIR: join(folder.path, "models"),
  CACHE_MAX_BYTES: "0",
  WORKERS: "1",
  LOG_LEVEL: "warn",
  ...environment,
};
const pictures = join(folder.path, "pictures");
const pictureCount = 300;
/** Images that one worker has under way. */
const width = 16;

beforeAll(async () => {
  await mkdir(join(pictures, "deeper"), { recursive: true });
  for (let seed = 0; seed < pictureCount; seed += 1) {
    const name = seed % 3 === 0 ? `deeper/${seed}.jpg` : `${seed}.jpg`;
    await Bun.write(join(pictures, name), await makeJpeg({ seed, width: 32, height: 32 }));
  }
  await Bun.write(join(pictures, "bad.jpg"), "no picture");
});
afterAll(async () => {
  await hub[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});

interface Ended {
  readonly code: number;
  readonly output: string;
  readonly errors: string;
}

/** Runs `embed`, to its end or until its records have so many bytes. */
async function embed(
  argv: readonly string[],
  end?: { readonly path: string; readonly bytes: number; readonly signal: NodeJS.Signals },
  more: Readonly<Record<string, string>> = {},
): Promise<Ended> {
  const child = Bun.spawn([...program, "embed", ...argv], {
    env: { ...settings, ...more },
    stdout: "pipe",
    stderr: "pipe",
  });
  if (end !== undefined) {
    while (child.exitCode === null && (await sizeOf(end.path)) < end.bytes) await Bun.sleep(1);
    child.kill(end.signal);
  }
  const [output, errors, code] = await Promise.all([
    child.stdout.text(),
    child.stderr.text(),
    child.exited,
  ]);
  return { code, output, errors };
}

async function sizeOf(path: string): Promise<number> {
  return await stat(path).then(
    ({ size }) => size,
    () => 0,
  );
}

interface Line {
  readonly source: string;
  readonly vector?: readonly number[];
  readonly error?: object;
}

async function linesOf(path: string): Promise<Line[]> {
  const text = await Bun.file(path).text();
  expect(text === "" || text.endsWith("\n")).toBe(true);
  return text
    .split("\n")
    .slice(0, -1)
    .map((line) => JSON.parse(line));
}

function sourcesOf(lines: readonly Line[]): string[] {
  return lines.map(({ source }) => source).sort();
}

/** Bytes of the whole lines. */
function wholePart(bytes: Buffer): Buffer {
  return bytes.subarray(0, bytes.lastIndexOf(10) + 1);
}

test.each(["jsonl", "npy", "parquet"])(
  "killed again and again, %s has every source once, and all that was written stays",
  async (format) => {
    const out = join(folder.path, `killed.${format}`);
    const records = format === "jsonl" ? out : `${out}.journal.jsonl`;
    const errors = join(folder.path, "errors.jsonl");
    const argv = [pictures, "--out", out, "--errors", errors, "--resume", "--unordered"];
    const recordBytes = 200;
    const kills = fc.sample(fc.nat({ max: pictureCount * recordBytes }), 3).sort((a, b) => a - b);
    let before = Buffer.alloc(0);
    for (const bytes of kills) {
      await embed(argv, { path: records, bytes, signal: "SIGKILL" });
      const after = await readFile(records).catch(() => Buffer.alloc(0));
      expect(after.subarray(0, before.length).equals(before)).toBe(true);
      before = Buffer.from(wholePart(after));
      // A file under its own name is whole: here it is not there yet.
      if (format !== "jsonl") expect(await Bun.file(out).exists()).toBe(false);
    }
    const { code, errors: said } = await embed(argv);
    expect(code).toBe(1);
    const lines = await linesOf(records);
    expect(lines).toHaveLength(pictureCount);
    expect(new Set(sourcesOf(lines)).size).toBe(pictureCount);
    expect((await readFile(records)).subarray(0, before.length).equals(before)).toBe(true);
    const known = before.toString().split("\n").length - 1;
    const already = known > 0 ? `, ${known} there already` : "";
    expect(said).toContain(
      `${pictureCount - known} embedded${already}, 1 failed (1 unsupported-image)\n`,
    );
    expect(await linesOf(errors)).toMatchObject([{ source: join(pictures, "bad.jpg") }]);
    if (format === "npy") {
      const bytes = await readFile(out);
      expect(bytes.length).toBe(128 + pictureCount * smallModel.architecture.dimensions * 4);
      expect(await linesOf(join(folder.path, "killed.ids.jsonl"))).toHaveLength(pictureCount);
    }
  },
);

test("interrupted, .npy is a valid file of what is there, and the rest comes with --resume", async () => {
  const out = join(folder.path, "interrupted.npy");
  const ids = join(folder.path, "interrupted.ids.jsonl");
  const journal = `${out}.journal.jsonl`;
  const argv = [pictures, "--out", out];
  const first = await embed(argv, { path: journal, bytes: 5_000, signal: "SIGINT" });
  expect(first.code).toBe(130);
  expect(first.errors).toContain(`${journal} has what is done`);
  const rows = (await linesOf(ids)).length;
  expect(rows).toBeGreaterThan(0);
  expect((await readFile(out)).toString("latin1", 10, 128)).toContain(`'shape': (${rows}, 12)`);
  const second = await embed([...argv, "--resume"]);
  expect(second.code).toBe(1);
  expect(second.errors).toContain(`, ${rows} there already, 1 failed`);
  expect(JSON.parse(second.output)).toMatchObject({ error: { code: "unsupported-image" } });
  expect(await linesOf(ids)).toHaveLength(pictureCount);
});

test("the journal goes when all is done, and stays for the next time with --resume", async () => {
  const [out, few] = [join(folder.path, "few.npy"), join(folder.path, "few")];
  const journal = `${out}.journal.jsonl`;
  await mkdir(few);
  await Bun.write(join(few, "a.jpg"), await makeJpeg({ seed: 1 }));
  expect((await embed([few, "--out", out])).code).toBe(0);
  expect(await Bun.file(journal).exists()).toBe(false);
  const refused = await embed([few, "--out", out, "--resume"]);
  expect([refused.code, refused.errors]).toEqual([1, expect.stringContaining("is complete, and")]);
  await rm(out);
  expect((await embed([few, "--out", out, "--resume"])).code).toBe(0);
  expect(await linesOf(journal)).toHaveLength(1);
  await Bun.write(join(few, "b.jpg"), await makeJpeg({ seed: 2 }));
  const next = await embed([few, "--out", out, "--resume"]);
  expect([next.code, next.errors]).toEqual([
    0,
    expect.stringContaining("1 embedded, 1 there already\n"),
  ]);
  expect(await linesOf(join(folder.path, "few.ids.jsonl"))).toHaveLength(2);
});

test("records come whole through a pipe that is read late", async () => {
  const texts = join(folder.path, "long.txt");
  // So long that what is done together does not fit into a pipe.
  const lines = Array.from({ length: 200 }, (_, index) => `${index} ${"word ".repeat(800)}`);
  await Bun.write(texts, lines.join("\n"));
  const piped = [
    "bash",
    "-c",
    '"$@" | (sleep 1; cat)',
    "bash",
    ...program,
    "embed",
    "--text",
    texts,
  ];
  const child = Bun.spawn(piped, { env: settings, stdout: "pipe", stderr: "ignore" });
  const text = (await child.stdout.text()).trimEnd();
  const records: readonly Line[] = text.split("\n").map((line) => JSON.parse(line));
  expect(records.map(({ source }) => source)).toEqual(
    lines.map((_, index) => `${texts}:${index + 1}`),
  );
});

test("vectors of another kind do not come into the same file", async () => {
  const out = join(folder.path, "kinds.jsonl");
  const [picture, other] = [join(pictures, "1.jpg"), join(pictures, "2.jpg")];
  await embed([picture, "--out", out]);
  const scaled = await embed([other, "--out", out, "--resume", "--normalize"]);
  expect([scaled.code, scaled.errors]).toEqual([
    1,
    expect.stringContaining(`${out} has raw vectors: leave out --normalize, or name another file`),
  ]);
  const text = await Bun.file(out).text();
  await Bun.write(out, text.replace(/"model":"[^"]+"/, '"model":"another"'));
  const another = await embed([other, "--out", out, "--resume"]);
  expect([another.code, another.errors]).toEqual([
    1,
    expect.stringContaining(`${out} has vectors of another, and these are of ${smallModel.id}`),
  ]);
  expect(await linesOf(out)).toHaveLength(1);
});

test("the parts of a folder make the whole, each source once", async () => {
  const parts: Line[] = [];
  for (const index of [1, 2, 3]) {
    const out = join(folder.path, `part-${index}.jsonl`);
    await embed([pictures, "--out", out, "--shard", `${index}/3`]);
    parts.push(...(await linesOf(out)));
  }
  expect(parts).toHaveLength(pictureCount + 1);
  expect(new Set(sourcesOf(parts)).size).toBe(pictureCount + 1);
});

test("a picture that a service has seen is not inferred again, also while it runs", async () => {
  const cache = { CACHE_MAX_BYTES: "16777216", CACHE_DIR: join(folder.path, "cache") };
  const [first, second] = [join(folder.path, "first.jsonl"), join(folder.path, "second.jsonl")];
  const picture = join(pictures, "4.jpg");
  await using service = await startService({ ...cache, PORT: "0" });
  await service.logged(/"message":"model ready"/);
  const body = new FormData();
  body.set("file", Bun.file(picture), "4.jpg");
  const url = new URL("/vectorize-image-upload?model=clip-ViT-B-32", await service.url());
  const answer = await (await fetch(url, { method: "POST", body })).json();
  await embed([picture, "--out", first], undefined, cache);
  const [own] = await linesOf(first);
  expect(own?.vector).toHaveLength(12);
  expect(answer).toMatchObject({ vector: own?.vector });
  // What it takes from there is seen from a vector that no model makes.
  {
    const terms = { maxBytes: 16 * 1024 * 1024, busyTimeoutMs: 5_000 };
    using database = openToWrite(embeddingDatabasePath(cache.CACHE_DIR), terms);
    const found = database
      .query<{ fingerprint: string; model: string }, []>("SELECT * FROM makers")
      .get();
    const sha256 = new Bun.CryptoHasher("sha256")
      .update(await Bun.file(picture).bytes())
      .digest("hex");
    const facts = { sha256, format: "jpg", width: 32, height: 32 } as const;
    const made = { fingerprint: found?.fingerprint ?? "", model: found?.model ?? "" };
    const embedding = { ...made, facts, vector: new Float32Array(12).fill(7) };
    writeEmbeddings(database, { embeddings: [embedding], used: [], nowHour: 1 });
  }
  await embed([picture, "--out", second], undefined, cache);
  expect(await linesOf(second)).toMatchObject([{ vector: Array(12).fill(7) }]);
});

function startService(more: Readonly<Record<string, string>>): Promise<ServiceProcess> {
  return startProcess(
    { ...settings, ...more, LOG_LEVEL: "info" },
    { command: [...program, "serve"] },
  );
}

test("a service that is killed and started again goes on for the command that waits for it", async () => {
  const out = join(folder.path, "remote.npy");
  const keysFile = join(folder.path, "keys");
  const added = Bun.spawnSync([...program, "keys", "add", "bulk"], {
    env: { ...settings, API_KEYS_FILE: keysFile },
  });
  const key = added.stdout.toString().trim();
  const keyFile = join(folder.path, "key");
  await Bun.write(keyFile, `${key}\n`);
  let service = await startService({ API_KEYS_FILE: keysFile, PORT: "0" });
  const url = await service.url();
  await service.logged(/"message":"model ready"/);
  const journal = `${out}.journal.jsonl`;
  const argv = [
    pictures,
    "--remote",
    url.href,
    "--out",
    out,
    "--errors",
    join(folder.path, "e.jsonl"),
  ];
  const refused = await embed(argv);
  expect([refused.code, refused.errors]).toEqual([
    1,
    expect.stringContaining("set IMAGESVC_API_KEY"),
  ]);
  const running = embed([...argv, "--resume"], undefined, { IMAGESVC_API_KEY_FILE: keyFile });
  while ((await sizeOf(journal)) < 5_000) await Bun.sleep(1);
  service.signal("SIGKILL");
  await service[Symbol.asyncDispose]();
  service = await startService({ API_KEYS_FILE: keysFile, PORT: url.port });
  await using _ = service;
  const { code, errors } = await running;
  expect([code, errors]).toEqual([
    1,
    expect.stringContaining(`${pictureCount} embedded, 1 failed (1 unsupported-image)\n`),
  ]);
  const lines = await linesOf(join(folder.path, "remote.ids.jsonl"));
  expect(new Set(sourcesOf(lines)).size).toBe(pictureCount);
  const [first] = lines;
  const bytes = await Bun.file(first?.source ?? "").bytes();
  expect(first).toMatchObject({
    model: smallModel.id,
    sha256: new Bun.CryptoHasher("sha256").update(bytes).digest("hex"),
  });
  // Texts go there, too.
  const captions = join(folder.path, "captions.txt");
  await Bun.write(captions, "a cat\na dog\n");
  const texts = await embed(["--text", captions, "--remote", url.href], undefined, {
    IMAGESVC_API_KEY: key,
  });
  expect(texts.code).toBe(0);
  expect(
    texts.output
      .split("\n")
      .slice(0, 2)
      .map((line) => JSON.parse(line)),
  ).toMatchObject([
    { source: `${captions}:1`, text: "a cat", dimensions: 12, truncated: false },
    { source: `${captions}:2`, text: "a dog", dimensions: 12, truncated: false },
  ]);
});

test("at most what is under way is lost", async () => {
  const out = join(folder.path, "lost.jsonl");
  const trace = join(folder.path, "cache-of-lost");
  // What was inferred is in the cache, as far as it was written before the kill; what was recorded is in the file.
  const cache = { CACHE_MAX_BYTES: "16777216", CACHE_DIR: trace };
  await embed([pictures, "--out", out], { path: out, bytes: 20_000, signal: "SIGKILL" }, cache);
  using database = new Database(embeddingDatabasePath(trace));
  const { inferred } = database
    .query<{ inferred: number }, []>("SELECT count(*) AS inferred FROM vectors")
    .get() ?? {
    inferred: 0,
  };
  const recorded =
    wholePart(await readFile(out))
      .toString()
      .split("\n").length - 1;
  expect(inferred - recorded).toBeLessThanOrEqual(width);
});
