/**
 * The safetensors format: eight bytes little-endian header length, a JSON header, then the raw tensors.
 * https://huggingface.co/docs/safetensors/index#format
 */
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { findDoubledName, isRecord } from "./json.ts";
import { elementCount, type TensorSource } from "./onnx/tensor-source.ts";

/** One tensor of a file. */
export interface TensorEntry {
  /** As in the file: `F32`, `BF16`, `I64` … */
  readonly dtype: string;
  readonly shape: readonly number[];
  /** First byte, counted from the file's start. */
  readonly start: number;
  /** The byte behind the last one. */
  readonly end: number;
}

/** Bytes that can be read anywhere. */
export interface RandomAccess {
  readonly totalBytes: number;
  /** Reads exactly `length` bytes from `offset`, which lie inside the file, into memory of their own. */
  read(offset: number, length: number): Uint8Array<ArrayBuffer>;
}

/** A file's tensors, each read when it is asked for. */
export interface Safetensors extends TensorSource {
  readonly entries: ReadonlyMap<string, TensorEntry>;
  /** Looks whether there is such a float32 tensor; reads none of it. @throws Error with one sentence if not. */
  check(name: string, shape: readonly number[]): TensorEntry;
}

const LENGTH_BYTES = 8;
/** The reference implementation's own bound. */
const MAX_HEADER_BYTES = 100_000_000;

const dtypesByBytes: readonly (readonly [bytes: number, dtypes: readonly string[]])[] = [
  [1, ["BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2"]],
  [2, ["U16", "I16", "F16", "BF16"]],
  [4, ["U32", "I32", "F32"]],
  [8, ["U64", "I64", "F64"]],
];
const bytesPerElement: ReadonlyMap<unknown, number> = new Map(
  dtypesByBytes.flatMap(([bytes, dtypes]) => dtypes.map((dtype) => [dtype, bytes])),
);

/**
 * Reads and checks a file's header.
 *
 * @throws Error with one sentence if anything in it cannot be true of a file of that length.
 */
export function parseSafetensors(file: RandomAccess): Safetensors {
  const entries = parseHeader(file);
  const check = (name: string, shape: readonly number[]): TensorEntry => {
    const entry = entries.get(name);
    if (entry === undefined) throw new Error(`the weights file has no tensor "${name}"`);
    if (entry.dtype !== "F32" || entry.shape.join() !== shape.join()) {
      throw new Error(
        `the tensor "${name}" is ${entry.dtype} [${entry.shape.join(", ")}], but the model needs F32 [${shape.join(", ")}]`,
      );
    }
    return entry;
  };
  return {
    entries,
    check,
    read: (name, shape) => {
      const { start, end } = check(name, shape);
      return new Float32Array(file.read(start, end - start).buffer);
    },
  };
}

/** Opens a file; whoever opens it disposes of it. */
export function accessFile(path: string): RandomAccess & Disposable {
  const descriptor = openSync(path, "r");
  return {
    totalBytes: fstatSync(descriptor).size,
    read(offset, length) {
      const bytes = new Uint8Array(length);
      for (let done = 0; done < length; ) {
        const read = readSync(descriptor, bytes, done, length - done, offset + done);
        if (read === 0) throw new Error("the weights file became shorter while it was read");
        done += read;
      }
      return bytes;
    },
    [Symbol.dispose]: () => closeSync(descriptor),
  };
}

function parseHeader(file: RandomAccess): ReadonlyMap<string, TensorEntry> {
  if (file.totalBytes < LENGTH_BYTES) throw new Error("the weights file is too short for a header");
  const prefix = file.read(0, LENGTH_BYTES);
  const headerBytes = Number(new DataView(prefix.buffer).getBigUint64(0, true));
  const dataStart = LENGTH_BYTES + headerBytes;
  if (headerBytes > MAX_HEADER_BYTES || dataStart > file.totalBytes) {
    throw new Error(
      `the weights file has ${file.totalBytes} bytes, but claims a header of ${headerBytes}`,
    );
  }
  const entries = new Map<string, TensorEntry>();
  for (const [name, value] of Object.entries(
    parseJsonObject(file.read(LENGTH_BYTES, headerBytes)),
  )) {
    if (name !== "__metadata__") entries.set(name, parseEntry(name, value, dataStart));
  }
  checkCoverage(entries, dataStart, file.totalBytes);
  return entries;
}

function parseJsonObject(bytes: Uint8Array): Readonly<Record<string, unknown>> {
  let parsed: unknown;
  let doubled: string | undefined;
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    parsed = JSON.parse(text);
    doubled = findDoubledName(text);
  } catch (cause) {
    throw new Error("the weights file's header is not JSON", { cause });
  }
  if (doubled !== undefined) {
    throw new Error(`the weights file's header has the name ${quote(doubled)} twice`);
  }
  if (!isRecord(parsed)) throw new Error("the weights file's header is not a JSON object");
  return parsed;
}

function parseEntry(name: string, value: unknown, dataStart: number): TensorEntry {
  const broken = (what: string): Error =>
    new Error(`the weights file's header describes ${quote(name)} with ${what}`);
  if (!isRecord(value)) throw broken("something other than an object");
  const { dtype, shape, data_offsets: offsets } = value;
  const elementBytes = bytesPerElement.get(dtype);
  if (typeof dtype !== "string" || elementBytes === undefined) throw broken("an unknown dtype");
  if (!isSizes(shape)) throw broken("a shape that is none");
  if (!isSizes(offsets) || offsets.length !== 2) throw broken("offsets that are none");
  const [from = 0, to = 0] = offsets;
  const bytes = elementCount(shape) * elementBytes;
  if (to - from !== bytes) throw broken(`${to - from} bytes where its shape needs ${bytes}`);
  return { dtype, shape, start: dataStart + from, end: dataStart + to };
}

/** The format wants tensors without gaps or overlaps, up to the file's end. */
function checkCoverage(
  entries: ReadonlyMap<string, TensorEntry>,
  dataStart: number,
  totalBytes: number,
): void {
  const inOrder = [...entries].sort(([, a], [, b]) => a.start - b.start || a.end - b.end);
  let covered = dataStart;
  for (const [name, { start, end }] of inOrder) {
    if (start !== covered) {
      throw new Error(`the tensor ${quote(name)} starts at byte ${start} instead of ${covered}`);
    }
    covered = end;
  }
  if (covered !== totalBytes) {
    throw new Error(`the weights file has ${totalBytes} bytes, but its tensors end at ${covered}`);
  }
}

/**
 * A name as the file has it, on one line and of some length at most. What a terminal obeys, what nobody sees and
 * what turns the line around (Unicode's Cc, Cf, Zl, Zp) is spelt out.
 */
function quote(name: string): string {
  return JSON.stringify(name.slice(0, 100)).replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (sign) =>
    sign.replace(/[\s\S]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`),
  );
}

/** Whether a value is a list of whole numbers, none of them negative. */
function isSizes(value: unknown): value is readonly number[] {
  return Array.isArray(value) && value.every((one) => Number.isSafeInteger(one) && one >= 0);
}
