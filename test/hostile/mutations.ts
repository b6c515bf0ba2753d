/** Ways to damage a sound file: blindly, where a decoder trusts it, or with parts of another. */
import fc from "fast-check";
import { type Bytes, concat } from "../support/pictures.ts";
import { describers } from "./layouts/describers.ts";
import type { NumberField } from "./layouts/layout.ts";
import type { SeedFile } from "./seeds.ts";

/** One damage. Places and choices are counted round, so that any number means something in any file. */
export type Mutation =
  | { readonly kind: "flip-bits"; readonly bits: readonly number[] }
  | { readonly kind: "overwrite"; readonly at: number; readonly bytes: Uint8Array }
  | { readonly kind: "fill"; readonly at: number; readonly length: number; readonly byte: number }
  | { readonly kind: "insert"; readonly at: number; readonly bytes: Uint8Array }
  | { readonly kind: "set-numbers"; readonly edits: readonly NumberEdit[] }
  | { readonly kind: "repeat-piece"; readonly which: number; readonly times: number }
  | { readonly kind: "drop-piece"; readonly which: number }
  | { readonly kind: "move-piece"; readonly which: number; readonly before: number }
  | { readonly kind: "truncate"; readonly at: number }
  | { readonly kind: "splice"; readonly at: number; readonly other: number; readonly from: number };

interface NumberEdit {
  readonly which: number;
  readonly value: (typeof newValues)[number];
  readonly random: number;
}

/** What a number becomes: an edge of what its bytes can say, a neighbour, or anything. */
const newValues = [
  ...(["zero", "one", "most", "most-less-one", "half", "half-less-one"] as const),
  ...(["more", "less", "double", "file-length", "random"] as const),
] as const;

/** Bytes that a file of repeated pieces has at most. */
const maxRepeatedBytes = 2_000_000;

const number = fc.nat();
const bytes = fc.uint8Array({ minLength: 1, maxLength: 64 });

/** Damage that needs no idea of the file. */
export const blindMutations: fc.Arbitrary<Mutation> = fc.oneof(
  fc.record({
    kind: fc.constant("flip-bits"),
    bits: fc.array(number, { minLength: 1, maxLength: 20 }),
  }),
  fc.record({ kind: fc.constant("overwrite"), at: number, bytes }),
  fc.record({
    kind: fc.constant("fill"),
    at: number,
    length: fc.integer({ min: 1, max: 2_000 }),
    byte: fc.constantFrom(0, 0x7f, 0x80, 0xff),
  }),
  fc.record({ kind: fc.constant("insert"), at: number, bytes }),
  fc.record({ kind: fc.constant("truncate"), at: number }),
  fc.record({ kind: fc.constant("splice"), at: number, other: number, from: number }),
);

/** Damage to the structure of a file that is sound so far. */
export const structuralMutations: fc.Arbitrary<Mutation> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant("set-numbers"),
      edits: fc.array(
        fc.record({ which: number, value: fc.constantFrom(...newValues), random: number }),
        { minLength: 1, maxLength: 4 },
      ),
    }),
  },
  fc.record({
    kind: fc.constant("repeat-piece"),
    which: number,
    times: fc.oneof(fc.integer({ min: 2, max: 10 }), fc.integer({ min: 10, max: 5_000 })),
  }),
  fc.record({ kind: fc.constant("drop-piece"), which: number }),
  fc.record({ kind: fc.constant("move-piece"), which: number, before: number }),
);

/**
 * Damages a file.
 *
 * @param file left untouched; sound where the structure is damaged, since that is read.
 * @param others sound files of which a splice takes the end of one.
 */
export function mutate(file: SeedFile, mutation: Mutation, others: readonly SeedFile[]): Bytes {
  switch (mutation.kind) {
    case "flip-bits":
    case "overwrite":
    case "fill":
    case "set-numbers":
      return changeBytes(file, mutation);
    case "insert": {
      const at = around(mutation.at, file.bytes.length + 1);
      return replace(file.bytes, at, at, mutation.bytes);
    }
    case "truncate":
      return file.bytes.slice(0, around(mutation.at, file.bytes.length));
    case "splice": {
      const { bytes: end } = pick(others, mutation.other);
      const start = file.bytes.subarray(0, around(mutation.at, file.bytes.length));
      return concat(start, end.subarray(around(mutation.from, end.length)));
    }
    default:
      return changePieces(file, mutation);
  }
}

type ByteChange = Extract<Mutation, { kind: "flip-bits" | "overwrite" | "fill" | "set-numbers" }>;

function changeBytes({ format, bytes: sound }: SeedFile, mutation: ByteChange): Bytes {
  const bytes = sound.slice();
  switch (mutation.kind) {
    case "flip-bits":
      for (const bit of mutation.bits) {
        const at = around(bit >> 3, bytes.length);
        bytes[at] = (bytes[at] ?? 0) ^ (1 << (bit & 7));
      }
      return bytes;
    case "overwrite": {
      const at = around(mutation.at, bytes.length);
      bytes.set(mutation.bytes.subarray(0, bytes.length - at), at);
      return bytes;
    }
    case "fill": {
      const at = around(mutation.at, bytes.length);
      return bytes.fill(mutation.byte, at, at + mutation.length);
    }
    default: {
      const { describe, mend } = describers[format];
      const { fields } = describe(sound);
      for (const { which, ...edit } of mutation.edits) {
        const field = pick(fields, which);
        writeNumber(bytes, field, newValue(readNumber(sound, field), field, edit, bytes.length));
      }
      mend(bytes);
      return bytes;
    }
  }
}

type PieceChange = Extract<Mutation, { kind: "repeat-piece" | "drop-piece" | "move-piece" }>;

function changePieces({ format, bytes }: SeedFile, mutation: PieceChange): Bytes {
  const { pieces } = describers[format].describe(bytes);
  const { start, end } = pick(pieces, mutation.which);
  const piece = bytes.subarray(start, end);
  switch (mutation.kind) {
    case "drop-piece":
      return replace(bytes, start, end, new Uint8Array());
    case "repeat-piece": {
      const most = Math.max(2, Math.floor(maxRepeatedBytes / piece.length));
      const times = Math.min(mutation.times, most);
      return replace(bytes, start, end, concat(...new Array<Uint8Array>(times).fill(piece)));
    }
    default: {
      const { start: to } = pick(pieces, mutation.before);
      const inserted = replace(bytes, to, to, piece);
      const moved = to <= start ? piece.length : 0;
      return replace(inserted, start + moved, end + moved, new Uint8Array());
    }
  }
}

function newValue(
  old: number,
  { size }: NumberField,
  { value, random }: Omit<NumberEdit, "which">,
  fileLength: number,
): number {
  const most = Math.min(2 ** (8 * size) - 1, Number.MAX_SAFE_INTEGER);
  switch (value) {
    case "zero":
      return 0;
    case "one":
      return 1;
    case "most":
      return most;
    case "most-less-one":
      return most - 1;
    case "half":
      return Math.floor(most / 2) + 1;
    case "half-less-one":
      return Math.floor(most / 2);
    case "more":
      return old + 1;
    case "less":
      return Math.max(0, old - 1);
    case "double":
      return old * 2;
    case "file-length":
      return fileLength;
    default:
      return random;
  }
}

function readNumber(bytes: Uint8Array, field: NumberField): number {
  return places(field).reduce((sum, at) => sum * 256 + (bytes[at] ?? 0), 0);
}

/** Writes the lower bytes of a number, as many as there is room for. */
function writeNumber(bytes: Uint8Array, field: NumberField, value: number): void {
  let rest = value;
  for (const at of places(field).reverse()) {
    if (at < bytes.length) bytes[at] = rest % 256;
    rest = Math.floor(rest / 256);
  }
}

/** Where the bytes of a number lie, the highest first. */
function places({ at, size, order }: NumberField): number[] {
  const ascending = Array.from({ length: size }, (_, index) => at + index);
  return order === "big" ? ascending : ascending.reverse();
}

function replace(bytes: Uint8Array, start: number, end: number, by: Uint8Array): Bytes {
  return concat(bytes.subarray(0, start), by, bytes.subarray(end));
}

/** A number of 0 to `count` - 1. */
function around(number: number, count: number): number {
  return count === 0 ? 0 : number % count;
}

/** @throws RangeError where there is nothing to pick from. */
function pick<Thing>(things: readonly Thing[], number: number): Thing {
  const thing = things[around(number, things.length)];
  if (thing === undefined) throw new RangeError("there is nothing to pick from");
  return thing;
}
