/** What was read from the cache's file and is remembered: on a real file, with a connection that writes. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { join } from "node:path";
import type { NewEmbedding } from "../../src/backends/protocol.ts";
import { openToRead, openToWrite } from "../../src/store/embedding-database.ts";
import { createRememberingFind } from "../../src/store/embedding-memory.ts";
import { forgetImage, writeEmbeddings } from "../../src/store/embedding-rows.ts";
import { temporaryFolder } from "../support/tiny-clip.ts";

const sha256 = Bun.SHA256.hash("a picture", "hex");
let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let writer: ReturnType<typeof openToWrite>;
let reader: ReturnType<typeof openToRead>;

beforeEach(async () => {
  folder = await temporaryFolder();
  const path = join(folder.path, "embeddings.sqlite");
  writer = openToWrite(path, { maxBytes: 2 ** 24, busyTimeoutMs: 1_000 });
  reader = openToRead(path);
});

afterEach(async () => {
  reader.close();
  writer.close();
  await folder[Symbol.asyncDispose]();
});

function write(change: Partial<NewEmbedding> = {}): void {
  const embedding: NewEmbedding = {
    facts: { sha256, format: "jpg", width: 2, height: 3 },
    ...{ fingerprint: "clip", model: "clip@1", vector: new Float32Array([1, 2]) },
    ...change,
  };
  writeEmbeddings(writer, { embeddings: [embedding], used: [], nowHour: 1 });
}

test("a vector is the same object as long as its numbers are the same, whatever else is written", () => {
  const find = createRememberingFind(reader);
  expect(find(sha256, "clip")).toBeUndefined();
  write();
  const first = find(sha256, "clip");
  expect(first?.vector).toEqual(new Float32Array([1, 2]));
  expect(find(sha256, "clip")).toBe(first);
  write({ facts: { sha256: "00".repeat(32), format: "png", width: 1, height: 1 } });
  write({ facts: { sha256, format: "jpg", width: 4, height: 3 } });
  const second = find(sha256, "clip");
  expect(second?.facts.width).toBe(4);
  expect(second?.vector).toBe(first?.vector);
});

test("what another connection has replaced is found as it is now", () => {
  const find = createRememberingFind(reader);
  write();
  expect(find(sha256, "clip")?.model).toBe("clip@1");
  write({ vector: new Float32Array([3]) });
  expect(find(sha256, "clip")?.vector).toEqual(new Float32Array([3]));
  write({ model: "clip@2", vector: new Float32Array([4]) });
  expect(find(sha256, "clip")).toMatchObject({ model: "clip@2", vector: new Float32Array([4]) });
});

test("what another connection has deleted is found no more, and neither is another fingerprint's", () => {
  const find = createRememberingFind(reader);
  write();
  expect(find(sha256, "clip")).toBeDefined();
  expect(find(sha256, "dino")).toBeUndefined();
  forgetImage(writer, sha256);
  expect(find(sha256, "clip")).toBeUndefined();
});
