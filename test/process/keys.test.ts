/** `imagesvc keys`, as a process of its own. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtemp, readdir, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runMain, startProcess } from "../support/process.ts";

let folder: string;
let path: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "imagesvc-keys-"));
  path = join(folder, "api-keys");
});

afterEach(() => rm(folder, { recursive: true }));

function keys(...argv: readonly string[]) {
  return runMain(["keys", ...argv], { API_KEYS_FILE: path });
}

test("add prints the key once, and the file knows only its hash", async () => {
  const { code, output, errors } = await keys("add", "phone-app");
  expect(code).toBe(0);
  expect(output).toMatch(/^isk_[A-Za-z0-9_-]{43}\n$/);
  expect(errors).toContain("Authorization: Bearer");
  expect(errors).toContain("systemctl reload");
  expect(errors).not.toContain(output.trim());
  const text = await Bun.file(path).text();
  expect(text).not.toContain(output.trim());
  expect(text).toContain(`phone-app 20`);
  expect(text).toContain(`sha256:${Bun.SHA256.hash(output.trim(), "hex")}\n`);
  expect((await stat(path)).mode & 0o777).toBe(0o600);
  expect(await readdir(folder)).toEqual(["api-keys"]);
});

test("keys that are added at once are all there", async () => {
  const names = ["a", "b", "c", "d"];
  const added = await Promise.all(names.map((name) => keys("add", name)));
  expect(added.map(({ code }) => code)).toEqual([0, 0, 0, 0]);
  const { output } = await keys("list", "--json");
  const listed: readonly { readonly name: string; readonly sha256_prefix: string }[] =
    JSON.parse(output);
  expect(listed.map(({ name }) => name).toSorted()).toEqual(names);
  const prefixes = added.map((one) => Bun.SHA256.hash(one.output.trim(), "hex").slice(0, 12));
  expect(listed.map((one) => one.sha256_prefix).toSorted()).toEqual(prefixes.toSorted());
});

test("list names the keys for people too, and revoke takes one away", async () => {
  const { output: key } = await keys("add", "phone");
  await keys("add", "batch-job");
  const prefix = Bun.SHA256.hash(key.trim(), "hex").slice(0, 12);
  const listed = await keys("list");
  expect(listed).toMatchObject({ code: 0, errors: "" });
  expect(listed.output).toMatch(
    new RegExp(`^phone {6}20[\\dTZ:-]+  ${prefix}\nbatch-job  20.*\n$`),
  );

  expect(await keys("revoke", "phone")).toMatchObject({ code: 0, output: "" });
  expect((await keys("list")).output).toStartWith("batch-job ");
  const again = await keys("revoke", "phone");
  expect(again).toMatchObject({ code: 1, output: "" });
  expect(again.errors).toContain("no key of this name");

  const last = await keys("revoke", "batch-job");
  expect(last.code).toBe(0);
  expect(last.errors).toContain("refuses everyone");
  expect(await keys("list", "--json")).toMatchObject({ code: 0, output: "[]\n" });
});

test("a name is there once", async () => {
  await keys("add", "phone");
  const before = await Bun.file(path).text();
  const { code, output, errors } = await keys("add", "phone");
  expect({ code, output }).toEqual({ code: 1, output: "" });
  expect(errors).toContain("already");
  expect(await Bun.file(path).text()).toBe(before);
});

describe("what is wrong is one sentence, and nothing is changed", () => {
  test.each([
    ["add", "x"],
    ["revoke", "x"],
    ["list", undefined],
  ] as const)("no file is named: keys %s", async (command, name) => {
    const argv = name === undefined ? [command] : [command, name];
    const { code, output, errors } = await runMain(["keys", ...argv]);
    expect({ code, output }).toEqual({ code: 2, output: "" });
    expect(errors).toContain("API_KEYS_FILE");
    expect(errors.trim().split("\n")).toHaveLength(1);
  });

  test.each(["a b", "", "ä", "a/b", "x".repeat(65)])("the name %p", async (name) => {
    expect(await keys("add", name)).toMatchObject({ code: 2, output: "" });
    expect(await Bun.file(path).exists()).toBe(false);
  });

  test("a line that is not understood", async () => {
    const text = "# mine\nnonsense\n";
    await Bun.write(path, text);
    for (const argv of [["add", "x"], ["revoke", "x"], ["list"]]) {
      const { code, output, errors } = await keys(...argv);
      expect({ code, output }).toEqual({ code: 1, output: "" });
      expect(errors).toContain("line 2");
      expect(errors.trim().split("\n")).toHaveLength(1);
      expect(await Bun.file(path).text()).toBe(text);
    }
  });

  test("a file or a folder that is not there", async () => {
    const revoked = await keys("revoke", "x");
    expect(revoked).toMatchObject({ code: 1, output: "" });
    expect(revoked.errors).toContain("no key of this name");
    const listed = await keys("list");
    expect(listed).toMatchObject({ code: 1, output: "" });
    expect(listed.errors).toMatch(/^imagesvc: .*keys add makes it/);
    expect(await Bun.file(path).exists()).toBe(false);
    path = join(folder, "missing", "api-keys");
    expect(await keys("add", "x")).toMatchObject({ code: 1, output: "" });
    path = folder;
    expect(await keys("add", "x")).toMatchObject({ code: 1, output: "" });
  });
});

function upload(origin: URL, key: string): Promise<Response> {
  const headers = { Authorization: `Bearer ${key.trim()}` };
  return fetch(new URL("/vectorize-image", origin), { method: "POST", headers });
}

test("a running service takes a key on, and a revoked one off, at SIGHUP", async () => {
  const { output: old } = await keys("add", "old");
  await using service = await startProcess({ API_KEYS_FILE: path, CLIP_WEIGHTS: "openai" });
  const url = await service.url();
  const { output: key } = await keys("add", "new");
  await keys("revoke", "old");
  expect((await upload(url, key)).status).toBe(401);
  expect((await upload(url, old)).status).toBe(415);
  process.kill(service.pid, "SIGHUP");
  await service.logged(/"api_keys":1/);
  expect((await upload(url, key)).status).toBe(415);
  expect((await upload(url, old)).status).toBe(401);
  expect(service.log()).not.toContain(key.trim());
  expect(service.log()).not.toContain("everyone who reaches");

  await Bun.write(path, "nonsense\n");
  process.kill(service.pid, "SIGHUP");
  await service.logged(/API_KEYS_FILE: line 1/);
  expect((await upload(url, key)).status).toBe(415);

  await rm(path);
  process.kill(service.pid, "SIGHUP");
  await service.logged(/API_KEYS_FILE [^"]*cannot be read/);
  expect((await upload(url, key)).status).toBe(415);
  expect((await upload(url, "")).status).toBe(401);
});

test("a file that is not understood stops the start", async () => {
  await Bun.write(path, "nonsense\n");
  const { code, errors } = await runMain(["serve"], { API_KEYS_FILE: path, DOWNLOADS_DIR: folder });
  expect(code).toBe(1);
  expect(errors).toContain("API_KEYS_FILE: line 1 is not");
  expect(errors.trim().split("\n")).toHaveLength(1);
});

test("a file without a key locks everybody out, and the start says so", async () => {
  await Bun.write(path, "# none\n");
  await using service = await startProcess({ API_KEYS_FILE: path, CLIP_WEIGHTS: "openai" });
  const url = await service.url();
  await service.logged(/nobody may use the service/);
  expect((await upload(url, "isk_x")).status).toBe(401);
});

test("a credential of the unit that is gone, or empty of late, does not open the service", async () => {
  const credential = join(folder, "api_keys");
  await Bun.write(credential, "# none\n");
  await using service = await startProcess({
    CREDENTIALS_DIRECTORY: folder,
    CLIP_WEIGHTS: "openai",
  });
  const url = await service.url();
  expect((await upload(url, "x")).status).toBe(401);
  await Bun.write(credential, "");
  process.kill(service.pid, "SIGHUP");
  await service.logged(/api_keys is gone/);
  expect((await upload(url, "x")).status).toBe(401);
});
