/** An image's digest before anybody decodes it: of small ones at once, of large ones and files in a thread. */
import { afterEach, expect, test } from "bun:test";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { workerFiles } from "../../src/native/worker-files.ts";
import { createDigester, type Digester } from "../../src/sources/digest.ts";
import { digest } from "../../workers/image-bytes.ts";
import { temporaryFolder } from "../support/tiny-clip.ts";

const digesters: Digester[] = [];

afterEach(async () => {
  await Promise.all(digesters.splice(0).map((digester) => digester.close()));
});

function start(maxInlineBytes = 10, filename: string = workerFiles.cache): Digester {
  const digester = createDigester({ filename, maxInlineBytes, timeoutMs: 20_000, idleMs: 20_000 });
  digesters.push(digester);
  return digester;
}

function bytesOf(length: number) {
  return new Uint8Array(length).map((_, index) => index % 251);
}

test.each([0, 1, 10, 11, 1_000_000])("%d bytes come back with their digest", async (length) => {
  const bytes = bytesOf(length);
  const expected = { bytes: bytes.slice(), sha256: Bun.SHA256.hash(bytes, "hex") };
  const image = await start().digest({ kind: "memory", bytes });
  expect(image).toMatchObject(expected);
});

test("large bytes move to the thread and back, and are never copied; small ones stay", async () => {
  const [small, large] = [bytesOf(10), bytesOf(11)];
  const digester = start();
  await digester.digest({ kind: "memory", bytes: small });
  await digester.digest({ kind: "memory", bytes: large });
  expect([small.buffer.detached, large.buffer.detached]).toEqual([false, true]);
});

test("small bytes need no thread", async () => {
  const digester = start(10, "/no/such/module.ts");
  const { sha256 } = await digester.digest({ kind: "memory", bytes: bytesOf(3) });
  expect(sha256).toBe(Bun.SHA256.hash(bytesOf(3), "hex"));
});

test("a file is read in the thread, and one that is gone is an error", async () => {
  await using folder = await temporaryFolder();
  const path = join(folder.path, "image");
  await writeFile(path, bytesOf(600_000));
  const sha256 = Bun.SHA256.hash(bytesOf(600_000), "hex");
  const digester = start();
  expect(await digester.digest({ kind: "file", path })).toEqual({ kind: "file", path, sha256 });
  const gone = digester.digest({ kind: "file", path: `${path}-gone` });
  const failure: unknown = await gone.catch((error: unknown) => error);
  expect(String(failure)).toContain("ENOENT");
});

test("a digest that is known is not computed again by whoever decodes", async () => {
  const known = { kind: "memory", bytes: bytesOf(3), sha256: "ab".repeat(32) } as const;
  expect(await digest(known)).toBe("ab".repeat(32));
});
