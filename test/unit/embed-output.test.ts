import { expect, test } from "bun:test";
import { symlink } from "node:fs/promises";
import { join } from "node:path";
import type { Outcome } from "../../src/cli/embed-outcome.ts";
import { openEmbedOutput } from "../../src/cli/embed-output.ts";
import { readEmbedPlan } from "../../src/cli/embed-plan.ts";
import { temporaryFolder } from "../support/tiny-clip.ts";

const embedded = (source: string, model = "one"): Outcome => ({
  embedded: { source, model, dimensions: 2, vector: Float32Array.of(1, 2) },
});

const failed = (source: string): Outcome => ({
  failed: { source, error: { code: "not-found", detail: "It is not there." } },
});

async function open(
  options: Readonly<Record<string, string>>,
  print: Parameters<typeof openEmbedOutput>[0]["print"] = async () => {},
) {
  const plan = readEmbedPlan({ operands: ["."], options: new Map(Object.entries(options)) });
  if ("fault" in plan) throw new Error(plan.fault);
  return await openEmbedOutput({ print, tell: () => {} }, plan);
}

async function openIn(folder: string, options: Readonly<Record<string, string>> = {}) {
  const out = join(folder, "vectors.jsonl");
  const output = await open({ out, ...options });
  await output.begin();
  return { output, sources: () => sourcesIn(out) };
}

async function sourcesIn(path: string): Promise<readonly string[]> {
  const lines = (await Bun.file(path).text()).trimEnd().split("\n");
  return lines.map((line) => JSON.parse(line).source);
}

test("what comes together is written in its order, failures among the others", async () => {
  await using folder = await temporaryFolder();
  const { output, sources } = await openIn(folder.path);
  await output.write([embedded("a"), failed("b"), embedded("c")]);
  await output.write([failed("d")]);
  expect(await sources()).toEqual(["a", "b", "c", "d"]);
  await output[Symbol.asyncDispose]();
});

test("failures go to a file of their own where one is named", async () => {
  await using folder = await temporaryFolder();
  const errors = join(folder.path, "errors.jsonl");
  const { output, sources } = await openIn(folder.path, { errors });
  await output.write([failed("a"), embedded("b"), failed("c")]);
  expect([await sources(), await sourcesIn(errors)]).toEqual([["b"], ["a", "c"]]);
  await output[Symbol.asyncDispose]();
});

test("what came before a vector of another model is kept", async () => {
  await using folder = await temporaryFolder();
  const { output, sources } = await openIn(folder.path);
  const writing = output.write([embedded("a"), embedded("b", "two"), embedded("c")]);
  await expect(writing).rejects.toThrow("has vectors of one, and these are of two");
  expect(await sources()).toEqual(["a"]);
  await output[Symbol.asyncDispose]();
});

test("what comes together is printed at once", async () => {
  const printed: string[] = [];
  const print = async (bytes: string | Uint8Array) =>
    void printed.push(Buffer.from(bytes).toString());
  const output = await open({}, print);
  await output.write([embedded("a"), failed("b"), embedded("c")]);
  expect(printed.map((text) => text.trimEnd().split("\n").length)).toEqual([3]);
});

test("a file that cannot be written keeps nothing from the other", async () => {
  await using folder = await temporaryFolder();
  const [out, errors] = [join(folder.path, "full.jsonl"), join(folder.path, "errors.jsonl")];
  await symlink("/dev/full", out);
  const output = await open({ out, errors });
  await expect(output.write([embedded("a"), failed("b")])).rejects.toThrow("ENOSPC");
  expect(await sourcesIn(errors)).toEqual(["b"]);
  await output[Symbol.asyncDispose]();
});
