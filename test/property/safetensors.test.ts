import { test } from "bun:test";
import fc from "fast-check";
import { findDoubledName } from "../../src/models/json.ts";
import { parseSafetensors } from "../../src/models/safetensors.ts";
import { accessBytes, safetensorsFile } from "../support/safetensors.ts";

const size = fc.oneof(fc.nat({ max: 40 }), fc.integer(), fc.double());
const entry = fc.record(
  {
    dtype: fc.constantFrom("F32", "F16", "U8", "I64", "toString", 4),
    shape: fc.oneof(fc.array(size, { maxLength: 3 }), fc.jsonValue()),
    data_offsets: fc.oneof(fc.tuple(size, size), fc.jsonValue()),
  },
  { requiredKeys: [] },
);
const header = fc.oneof(
  fc.dictionary(fc.string(), fc.oneof(entry, fc.jsonValue())),
  fc.jsonValue(),
);

/** Parses; every entry must then lie inside the file, and every failure must be a plain sentence. */
function parsesOrSaysWhy(bytes: Uint8Array): boolean {
  try {
    const { entries } = parseSafetensors(accessBytes(bytes));
    return [...entries.values()].every(
      ({ start, end }) => 8 <= start && start <= end && end <= bytes.length,
    );
  } catch (error) {
    return error instanceof Error && error.name === "Error" && error.message.length > 10;
  }
}

test("no header, however it lies, leads outside the file", () => {
  fc.assert(
    fc.property(header, fc.nat({ max: 64 }), (claimed, dataBytes) =>
      parsesOrSaysWhy(safetensorsFile(claimed, dataBytes)),
    ),
    { numRuns: 1000 },
  );
});

test("no bytes at all lead outside the file", () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 64 }), parsesOrSaysWhy), { numRuns: 1000 });
});

test("no change of a few bytes of a right file leads outside it", () => {
  const right = safetensorsFile(
    {
      __metadata__: { format: "pt" },
      weight: { dtype: "F32", shape: [2, 3], data_offsets: [8, 32] },
      bias: { dtype: "F32", shape: [2], data_offsets: [0, 8] },
    },
    32,
  );
  const change = fc.tuple(fc.nat({ max: right.length - 1 }), fc.nat({ max: 255 }));
  fc.assert(
    fc.property(fc.array(change, { minLength: 1, maxLength: 4 }), (changes) => {
      const bytes = right.slice();
      for (const [at, value] of changes) bytes[at] = value;
      return parsesOrSaysWhy(bytes);
    }),
    { numRuns: 2000 },
  );
});

test("a name is found to be there twice exactly where a plain reading finds it", () => {
  const name = fc.constantFrom("a", "b", '"', "\\", "{", ":", "é", "\u0000");
  const pairs = fc.array(fc.tuple(name, fc.jsonValue({ maxDepth: 2 })), { maxLength: 5 });
  fc.assert(
    fc.property(pairs, (entries) => {
      const members = entries.map(
        ([key, value]) => `${JSON.stringify(key)}: ${JSON.stringify(value)}`,
      );
      const names = entries.map(([key]) => key);
      const isDoubled = new Set(names).size < names.length;
      return (findDoubledName(`{ ${members.join(" , ")} }`) !== undefined) === isDoubled;
    }),
    { numRuns: 1000 },
  );
});

test("tensors laid out one behind the other are found where they are", () => {
  fc.assert(
    fc.property(
      fc.array(fc.array(fc.nat({ max: 4 }), { maxLength: 3 }), { maxLength: 8 }),
      (shapes) => {
        let end = 0;
        const entries = shapes.map((shape, index) => {
          const start = end;
          end += shape.reduce((product, length) => product * length, 4);
          return [`tensor ${index}`, { dtype: "F32", shape, data_offsets: [start, end] }] as const;
        });
        const bytes = safetensorsFile(Object.fromEntries(entries), end);
        const parsed = parseSafetensors(accessBytes(bytes));
        return entries.every(
          ([
            name,
            {
              shape,
              data_offsets: [start = 0],
            },
          ]) => {
            const tensor = parsed.read(name, shape);
            return (
              parsed.entries.get(name)?.start === bytes.length - end + start &&
              tensor.every((x) => x === 0)
            );
          },
        );
      },
    ),
  );
});

test("a string of two million characters hides no name that is there twice", () => {
  // Any of these ends the string too early or too late where it is read wrongly.
  const piece = fc.constantFrom("x", "\\", '"', '\\"', '": {', "é", "\u2028");
  const member = (name: string, value: unknown) =>
    `${JSON.stringify(name)}:${JSON.stringify(value)}`;
  fc.assert(
    fc.property(fc.array(piece, { minLength: 1, maxLength: 4 }), fc.boolean(), (pieces, isName) => {
      const part = pieces.join("");
      const long = part.repeat(Math.ceil(2_000_000 / part.length));
      const first = isName ? member(long, 1) : member("first", long);
      return (
        findDoubledName(`{${first},${member("a", 1)},${member("a", 2)}}`) === "a" &&
        findDoubledName(`{${first},${member("a", 1)},${member("b", 2)}}`) === undefined
      );
    }),
    { numRuns: 20 },
  );
});
