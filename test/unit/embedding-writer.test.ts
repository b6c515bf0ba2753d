/** When new vectors go to the thread that writes them. */
import { expect, test } from "bun:test";
import type { CacheTask } from "../../src/backends/protocol.ts";
import { limits } from "../../src/limits.ts";
import { createEmbeddingWriter } from "../../src/store/embedding-writer.ts";

test("as many vectors as are written at once wait for no others", async () => {
  const written: number[] = [];
  const log = { info: () => {}, warn: () => {} };
  const writer = createEmbeddingWriter(
    { path: "", maxBytes: 1, log, now: () => 0 },
    {
      thread: {
        run: async (task: CacheTask) => {
          if (task.kind === "write") written.push(task.embeddings.length);
          return { fileId: "", isNew: false };
        },
      },
      takeBroken: () => undefined,
      onWritten: () => {},
    },
  );
  const put = (index: number) =>
    writer.put({
      facts: { sha256: String(index), format: "jpg", width: 1, height: 1 },
      fingerprint: "",
      model: "",
      vector: new Float32Array(1),
    });
  for (let index = 1; index < limits.maxWrittenVectors; index += 1) put(index);
  expect(written).toEqual([]);
  put(limits.maxWrittenVectors);
  expect(written).toEqual([limits.maxWrittenVectors]);
  await writer.flush();
  expect(written).toEqual([limits.maxWrittenVectors]);
});
