import { expect, test } from "bun:test";
import type { ImageBytes } from "../../src/backends/protocol.ts";
import { type Decoded, decodeBatch } from "../../workers/decode-batch.ts";

const timings = { decodeMs: 1, inferMs: 0 };
const images = [1, 2, 3].map(
  (byte): ImageBytes => ({ kind: "memory", bytes: Uint8Array.of(byte) }),
);

test("what fails takes no row of the tensor", async () => {
  const rows: number[] = [];
  const decoded = await decodeBatch(images, 60_000, async (_, row): Promise<Decoded> => {
    rows.push(row);
    const problem = { code: "undecodable-image", detail: "" } as const;
    return rows.length === 1 ? { problem, timings } : { timings };
  });
  expect(rows).toEqual([0, 0, 1]);
  expect(decoded.map(({ notStarted }) => notStarted)).toEqual([undefined, undefined, undefined]);
});

test("when the batch's time is over the rest is not begun, and given back as it came", async () => {
  const begun: ImageBytes[] = [];
  const decoded = await decodeBatch(images, 0, async (image): Promise<Decoded> => {
    begun.push(image);
    return { timings };
  });
  expect(begun).toEqual(images.slice(0, 1));
  expect(decoded[0]).toEqual({ timings });
  expect(decoded.slice(1)).toMatchObject([
    { notStarted: true, bytes: Uint8Array.of(2), problem: { code: "inference-timeout" } },
    { notStarted: true, bytes: Uint8Array.of(3), problem: { code: "inference-timeout" } },
  ]);
});
