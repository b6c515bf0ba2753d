/** What is found for an operand of `imagesvc embed`. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type ListOptions, listImages, listTexts } from "../../src/cli/source-list.ts";

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "imagesvc-list-"));
  await mkdir(join(folder, "deep/er"), { recursive: true });
  for (const name of ["a.jpg", "b.png", "[1].jpg", "deep/c.jpg", "deep/er/d.jpg", "notes.txt"]) {
    await Bun.write(join(folder, name), "");
  }
});
afterAll(() => rm(folder, { recursive: true }));

const everything: ListOptions = {
  stdin: async function* () {},
  onSkipped: () => {},
  wants: () => true,
};

/** Names from the folder, or the code of what is wrong. */
async function found(operand: string, options = everything): Promise<string[]> {
  const names: string[] = [];
  for await (const one of listImages([operand], options)) {
    names.push("problem" in one ? one.problem.code : one.name.replace(`${folder}/`, ""));
  }
  return names;
}

test.each([
  ["*.jpg", ["[1].jpg", "a.jpg"]],
  ["**/*.jpg", ["[1].jpg", "a.jpg", "deep/c.jpg", "deep/er/d.jpg"]],
  ["*/*.jpg", ["deep/c.jpg"]],
  ["./deep/../{a,b}.{jpg,png}", ["a.jpg", "b.png"]],
  ["deep/?.jpg", ["deep/c.jpg"]],
  ["deep/er/*", ["deep/er/d.jpg"]],
  ["*.gif", ["not-found"]],
  ["nowhere/*.jpg", ["not-found"]],
  // A file of that very name comes first.
  ["[1].jpg", ["[1].jpg"]],
  ["", ["[1].jpg", "a.jpg", "b.png", "deep/c.jpg", "deep/er/d.jpg"]],
])("the pattern %p", async (pattern, expected) => {
  expect(await found(`${folder}/${pattern}`)).toEqual(expected);
});

test("what is wanted is asked once for each, with a key that is the same wherever the folder lies", async () => {
  const asked: string[] = [];
  const wants = (_: string, key: string) => {
    asked.push(key);
    return key.startsWith("deep");
  };
  expect(await found(folder, { ...everything, wants })).toEqual(["deep/c.jpg", "deep/er/d.jpg"]);
  const keys = ["[1].jpg", "a.jpg", "b.png", "deep/c.jpg", "deep/er/d.jpg", "notes.txt"];
  expect(asked).toEqual(keys);
  expect(await found("http://host/a.jpg", { ...everything, wants })).toEqual([]);
  expect(await found(join(folder, "a.jpg"), { ...everything, wants })).toEqual([]);
  expect(asked.slice(keys.length)).toEqual(["http://host/a.jpg", join(folder, "a.jpg")]);
});

test("a text's key is the number of its line", async () => {
  await Bun.write(join(folder, "texts.txt"), "one\ntwo\nthree\n");
  const names: string[] = [];
  const wants = (_: string, key: string) => key === "2";
  for await (const { name } of listTexts([join(folder, "texts.txt")], { ...everything, wants })) {
    names.push(name);
  }
  expect(names).toEqual([join(folder, "texts.txt:2")]);
  await rm(join(folder, "texts.txt"));
});
