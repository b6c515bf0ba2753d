/** What an earlier run has left, wherever it was cut off. */
import { expect, test } from "bun:test";
import { join } from "node:path";
import fc from "fast-check";
import { toJournalLine, toLine } from "../../src/cli/embed-record.ts";
import { readEarlier } from "../../src/cli/embed-resume.ts";
import { KnownNames } from "../../src/cli/known-names.ts";
import { temporaryFolder } from "../support/tiny-clip.ts";

function record(source: string) {
  const vector = Float32Array.of(1.5, -0.1);
  return { source, model: "m", dimensions: 2, normalized: true as const, vector };
}

function textOf(line: Uint8Array): string {
  return new TextDecoder().decode(line);
}

function lineOf(one: ReturnType<typeof record>): string {
  return textOf(toLine(one));
}

function failure(source: string): string {
  return `${JSON.stringify({ source, error: { code: "not-found", detail: "no" } })}\n`;
}

test("a file that is cut off anywhere keeps every whole line, and nothing else", async () => {
  await using folder = await temporaryFolder();
  const path = join(folder.path, "x.jsonl");
  const names = ["a", "ü\n", "c".repeat(300)];
  const lines = names.map((name) => lineOf(record(name)));
  const whole = Buffer.from(lines.join(""));
  const ends = lines.map((_, at) => Buffer.byteLength(lines.slice(0, at + 1).join("")));
  await fc.assert(
    fc.asyncProperty(fc.nat({ max: whole.length }), async (cut) => {
      await Bun.write(path, whole.subarray(0, cut));
      const earlier = await readEarlier(path);
      const kept = ends.filter((end) => end <= cut).length;
      expect(names.map((name) => earlier.sources.has(name))).toEqual(
        names.map((_, at) => at < kept),
      );
      expect(earlier.sources.size).toBe(kept);
      expect(earlier.model).toBe(kept > 0 ? "m" : undefined);
      expect(earlier.isNormalized).toBe(kept > 0);
      expect(Bun.file(path).size).toBe(ends[kept - 1] ?? 0);
    }),
  );
});

test("records of failures are taken out, since what failed is tried again", async () => {
  await using folder = await temporaryFolder();
  const path = join(folder.path, "x.jsonl");
  const good = [lineOf(record("a")), textOf(toJournalLine(record("c")))];
  await Bun.write(path, `${good[0]}${failure("b")}${good[1]}${failure("d")}{"source":`);
  const earlier = await readEarlier(path);
  expect(["a", "b", "c", "d"].filter((name) => earlier.sources.has(name))).toEqual(["a", "c"]);
  expect(await Bun.file(path).text()).toBe(good.join(""));
});

test("where there is no file, nothing is known, and none is made", async () => {
  await using folder = await temporaryFolder();
  const path = join(folder.path, "x.jsonl");
  expect((await readEarlier(path)).sources.size).toBe(0);
  expect(await Bun.file(path).exists()).toBe(false);
});

test.each(["hello\n", "{}\n", '{"source":"a","vector":[1]}\n', '["source"]\n', "\n", "\0\0\n"])(
  "a file of other lines is refused, and stays as it was: %j",
  async (text) => {
    await using folder = await temporaryFolder();
    const path = join(folder.path, "x.jsonl");
    await Bun.write(path, `${lineOf(record("a"))}${text}`);
    await expect(readEarlier(path)).rejects.toThrow("are no records of imagesvc embed");
    expect(await Bun.file(path).text()).toEndWith(text);
  },
);

test("a set of names knows those that were added, and no other", () => {
  const names = new KnownNames();
  const known = Array.from({ length: 50_000 }, (_, at) => `photos/${at}.jpg`);
  for (const name of [...known, ...known]) names.add(name);
  expect(names.size).toBe(known.length);
  expect(known.every((name) => names.has(name))).toBe(true);
  expect(known.some((name) => names.has(`${name}.jpg`))).toBe(false);
});
