import { expect, test } from "bun:test";
import { createInputBuffers } from "../../workers/input-buffers.ts";

test("a buffer that was given back is the next one, and two at once are two", () => {
  const buffers = createInputBuffers(16);
  const first = buffers.take(4);
  const second = buffers.take(16);
  expect(first).toHaveLength(16);
  expect(second.buffer).not.toBe(first.buffer);
  buffers.giveBack(first);
  expect(buffers.take(1).buffer).toBe(first.buffer);
  expect(buffers.take(1).buffer).not.toBe(first.buffer);
});

test("a longer one is made for whoever wants it, and not kept", () => {
  const buffers = createInputBuffers(16);
  const long = buffers.take(17);
  expect(long).toHaveLength(17);
  buffers.giveBack(long);
  expect(buffers.take(17).buffer).not.toBe(long.buffer);
});
