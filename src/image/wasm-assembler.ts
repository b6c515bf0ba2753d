/**
 * Just enough of a WebAssembly assembler for loops over bytes and vectors: functions of 32-bit integers
 * that return nothing and share one memory. An instruction is a function of its operands' code and is
 * called what the specification's text format calls it.
 *
 * @see WebAssembly Core Specification 2.0, chapter 5, “Binary Format”.
 */

/** Bytes of instructions, nested as they were put together. */
export type Code = number | readonly Code[];

/** A parameter or local variable of a function. */
export interface Local {
  readonly get: Code;
  set(value: Code): Code;
  /** Adds to an `i32`. */
  advance(by: Code): Code;
}

type ValueType = "i32" | "v128";

/** A function of a module, and how many i32 parameters it takes. */
export interface WasmFunction {
  readonly name: string;
  readonly parameterCount: number;
  readonly code: Code;
}

const typeCodes = { i32: 0x7f, v128: 0x7b } as const satisfies Record<ValueType, number>;
const opcode = { block: 0x40, loop: 0x03, end: 0x0b, branchIf: 0x0d, vector: 0xfd } as const;

export const i32 = {
  const: (value: number): Code => [0x41, signed(value)],
  add: (a: Code, b: Code): Code => [a, b, 0x6a],
  lt_u: (a: Code, b: Code): Code => [a, b, 0x49],
  load: (address: Code, offset: number): Code => [address, 0x28, 0, unsigned(offset)],
};

/** Addresses need no alignment. */
export const v128 = {
  load: (address: Code): Code => vector(0, address, [0, 0]),
  load32_splat: (address: Code, offset: number): Code => vector(9, address, [0, unsigned(offset)]),
  load64_zero: (address: Code): Code => vector(93, address, [0, 0]),
  store: (address: Code, value: Code): Code => vector(11, [address, value], [0, 0]),
  /** Stores the first 32 bits. */
  store32: (address: Code, value: Code): Code => vector(90, [address, value], [0, 0, 0]),
};

export const i8x16 = {
  const: (bytes: readonly number[]): Code => vector(12, [], bytes),
  /** Picks bytes of `a` by their place; a place beyond the sixteenth gives 0. */
  swizzle: (a: Code, places: Code): Code => vector(14, [a, places]),
  /** Picks bytes of `a`, places 0 to 15, and `b`, 16 to 31. */
  shuffle: (a: Code, b: Code, places: readonly number[]): Code => vector(13, [a, b], places),
  narrow_i16x8_u: (a: Code, b: Code): Code => vector(102, [a, b]),
};

export const i16x8 = {
  narrow_i32x4_s: (a: Code, b: Code): Code => vector(133, [a, b]),
  extend_low_i8x16_u: (a: Code): Code => vector(137, a),
  extend_high_i8x16_u: (a: Code): Code => vector(138, a),
};

export const i32x4 = {
  splat: (value: number): Code => vector(17, i32.const(value)),
  shl: (a: Code, bits: number): Code => vector(171, [a, i32.const(bits)]),
  shr_s: (a: Code, bits: number): Code => vector(172, [a, i32.const(bits)]),
  add: (a: Code, b: Code): Code => vector(174, [a, b]),
  dot_i16x8_s: (a: Code, b: Code): Code => vector(186, [a, b]),
};

export const f32x4 = {
  add: (a: Code, b: Code): Code => vector(228, [a, b]),
  mul: (a: Code, b: Code): Code => vector(230, [a, b]),
};

/** Runs `body`, and again while `condition` is not 0. */
export function loop(body: Code, condition: Code): Code {
  return [opcode.loop, opcode.block, body, condition, opcode.branchIf, 0, opcode.end];
}

/** Runs `body` as many times as `counter` says, at least once; it is 0 in the end. */
export function countDown(counter: Local, body: Code): Code {
  return loop([body, counter.advance(i32.const(-1))], counter.get);
}

/**
 * Defines a function.
 *
 * @param build gets the parameters in their order, and a function that declares a local variable.
 */
export function defineFunction(
  name: string,
  parameterCount: number,
  build: (local: (type: ValueType) => Local, ...parameters: Local[]) => Code,
): WasmFunction {
  const types: ValueType[] = [];
  const local = (type: ValueType) => localAt(parameterCount + types.push(type) - 1);
  const body = build(
    local,
    ...Array.from({ length: parameterCount }, (_, index) => localAt(index)),
  );
  const locals = list(types.map((type) => [1, typeCodes[type]]));
  return { name, parameterCount, code: sized([locals, body, opcode.end]) };
}

/**
 * Puts functions together to a module. It exports each by its name, and `memory`, one page of 64 KiB
 * that can grow.
 */
export function assembleModule(functions: readonly WasmFunction[]): WebAssembly.Module {
  const exported = functions.map(({ name }, index) => [text(name), 0, index]);
  const module = [
    [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    section(
      1,
      functions.map(({ parameterCount }) => [
        0x60,
        list(Array(parameterCount).fill(typeCodes.i32)),
        0,
      ]),
    ),
    section(
      3,
      functions.map((_, index) => index),
    ),
    section(5, [[0, 1]]),
    section(7, [[text("memory"), 2, 0], ...exported]),
    section(
      10,
      functions.map(({ code }) => code),
    ),
  ];
  return new WebAssembly.Module(Uint8Array.from(flatten(module)));
}

function section(id: number, items: readonly Code[]): Code {
  return [id, sized(list(items))];
}

function list(items: readonly Code[]): Code {
  return [unsigned(items.length), items];
}

function sized(code: Code): Code {
  return [unsigned(flatten(code).length), code];
}

function text(characters: string): Code {
  return list(Array.from(characters, (character) => character.charCodeAt(0)));
}

function vector(operation: number, operands: Code, immediates: Code = []): Code {
  return [operands, opcode.vector, unsigned(operation), immediates];
}

function localAt(index: number): Local {
  const get = [0x20, unsigned(index)];
  const set = (value: Code): Code => [value, 0x21, unsigned(index)];
  return { get, set, advance: (by) => set(i32.add(get, by)) };
}

function flatten(code: Code): number[] {
  return typeof code === "number" ? [code] : code.flatMap(flatten);
}

/** LEB128 without a sign. */
function unsigned(value: number): Code {
  return value < 128 ? value : [(value & 127) | 128, unsigned(value >>> 7)];
}

/** LEB128 with a sign: the sixth bit of the last byte is the sign. */
function signed(value: number): Code {
  const isLast = value >= -64 && value < 64;
  return isLast ? value & 127 : [(value & 127) | 128, signed(value >> 7)];
}
