import { describe, expect, test } from "bun:test";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { accessFile, parseSafetensors } from "../../src/models/safetensors.ts";
import { accessBytes, safetensorsFile, safetensorsText } from "../support/safetensors.ts";
import { temporaryFolder } from "../support/tiny-clip.ts";

const bias = { dtype: "F32", shape: [2], data_offsets: [0, 8] };
const weight = { dtype: "F32", shape: [2, 3], data_offsets: [8, 32] };

function parse(header: unknown, dataBytes: number) {
  return parseSafetensors(accessBytes(safetensorsFile(header, dataBytes)));
}

test("a tensor is read by its name, with its own values", async () => {
  const bytes = safetensorsFile({ __metadata__: { format: "pt" }, weight, bias }, 32);
  const values = [1, 2, 3, 4, 5, 6, 7, 8];
  bytes.set(new Uint8Array(Float32Array.from(values).buffer), bytes.length - 32);
  await using folder = await temporaryFolder();
  const path = join(folder.path, "model.safetensors");
  await writeFile(path, bytes);

  using file = accessFile(path);
  const tensors = parseSafetensors(file);
  expect([...tensors.entries.keys()]).toEqual(["weight", "bias"]);
  expect(tensors.entries.get("bias")).toMatchObject({ dtype: "F32", shape: [2] });
  expect([...tensors.read("bias", [2])]).toEqual([1, 2]);
  expect([...tensors.read("weight", [2, 3])]).toEqual([3, 4, 5, 6, 7, 8]);
});

test("a tensor that is missing or of another kind is named in the error", () => {
  const half = { dtype: "F16", shape: [2], data_offsets: [32, 36] };
  const tensors = parse({ weight, bias, half }, 36);
  expect(() => tensors.read("scale", [1])).toThrow('no tensor "scale"');
  expect(() => tensors.read("weight", [3, 2])).toThrow(
    "is F32 [2, 3], but the model needs F32 [3, 2]",
  );
  expect(() => tensors.read("half", [2])).toThrow("is F16 [2]");
});

describe("a header that lies is refused:", () => {
  const lies: Readonly<Record<string, readonly [header: unknown, dataBytes: number, why: string]>> =
    {
      "offsets beyond the file": [{ bias }, 7, "tensors end at"],
      "bytes that no tensor owns at the end": [{ bias }, 9, "tensors end at"],
      "a gap between tensors": [
        { bias, gap: { ...bias, data_offsets: [12, 20] } },
        20,
        "starts at byte",
      ],
      "tensors that overlap": [
        { bias, twin: { ...bias, data_offsets: [4, 12] } },
        12,
        "starts at byte",
      ],
      "fewer bytes than the shape needs": [{ bias: { ...bias, shape: [3] } }, 8, "shape needs 12"],
      "a shape whose product overflows": [
        { bias: { ...bias, shape: [2 ** 52, 2 ** 52, 0, 2] } },
        8,
        "shape needs 0",
      ],
      "offsets that run backwards": [
        { bias: { ...bias, data_offsets: [8, 0] } },
        8,
        "with -8 bytes",
      ],
      "a negative offset": [
        { bias: { ...bias, data_offsets: [-8, 0] } },
        8,
        "offsets that are none",
      ],
      "a fractional offset": [
        { bias: { ...bias, data_offsets: [0.5, 8.5] } },
        8,
        "offsets that are",
      ],
      "three offsets": [{ bias: { ...bias, data_offsets: [0, 8, 8] } }, 8, "offsets that are none"],
      "a negative length": [{ bias: { ...bias, shape: [-2] } }, 8, "a shape that is none"],
      "an unknown dtype": [{ bias: { ...bias, dtype: "F33" } }, 8, "unknown dtype"],
      "a dtype that is a property of every object": [
        { bias: { ...bias, dtype: "constructor" } },
        8,
        "unknown dtype",
      ],
      "an entry that is no object": [{ bias: [] }, 8, "something other than an object"],
      "a list instead of an object": [[bias], 8, "not a JSON object"],
    };
  for (const [what, [header, dataBytes, why]] of Object.entries(lies)) {
    test(what, () => expect(() => parse(header, dataBytes)).toThrow(why));
  }

  test("a length beyond the file", () => {
    const bytes = safetensorsFile({ bias }, 8);
    for (const claimed of [BigInt(bytes.length - 7), 2n ** 63n]) {
      new DataView(bytes.buffer).setBigUint64(0, claimed, true);
      expect(() => parseSafetensors(accessBytes(bytes))).toThrow("claims a header");
    }
  });

  test("bytes that are not JSON", () => {
    const bytes = safetensorsFile({ bias }, 8);
    bytes[8] = 0xff;
    expect(() => parseSafetensors(accessBytes(bytes))).toThrow("not JSON");
  });

  test("a file too short for a length", () => {
    expect(() => parseSafetensors(accessBytes(new Uint8Array(7)))).toThrow("too short");
  });
});

describe("a header that deceives is refused:", () => {
  test("ten gigabytes of header, of which nothing is read", () => {
    const bytes = safetensorsFile({ bias }, 8);
    new DataView(bytes.buffer).setBigUint64(0, 10n ** 10n, true);
    const read: number[] = [];
    const file = {
      totalBytes: 2 * 10 ** 10,
      read: (offset: number, length: number) => {
        read.push(length);
        return new Uint8Array(bytes.subarray(offset, offset + length));
      },
    };
    expect(() => parseSafetensors(file)).toThrow("claims a header of 10000000000");
    expect(read).toEqual([8]);
  });

  test.each([
    [
      "a tensor",
      '{"bias":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"bias":ENTRY}',
      '"bias"',
    ],
    ["an escaped one", '{"bias":ENTRY,"b\\u0069as":ENTRY}', '"bias"'],
    [
      "a part of an entry",
      '{"bias":{"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]}}',
      '"dtype"',
    ],
  ])("%s that is described twice", (_what, header, name) => {
    const entry = JSON.stringify(bias);
    const bytes = safetensorsText(header.replaceAll("ENTRY", entry), 8);
    expect(() => parseSafetensors(accessBytes(bytes))).toThrow(`has the name ${name} twice`);
  });
});

test("a name is quoted without anything that a terminal obeys, or that turns the line around", () => {
  const name = "a\u001b[2J\u009b1m\u202eb\u2066\u200f\u2028\u007f\u{e0041}é";
  const header = JSON.stringify({ [name]: { ...bias, dtype: "F99" } });
  expect(() => parseSafetensors(accessBytes(safetensorsText(header, 8)))).toThrow(
    '"a\\u001b[2J\\u009b1m\\u202eb\\u2066\\u200f\\u2028\\u007f\\udb40\\udc41é"',
  );
});
