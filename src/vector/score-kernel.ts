/**
 * Cosines of one vector with many, four numbers at a time in WebAssembly SIMD: what is read from a disk's cache is
 * compared as fast as it comes.
 */
import {
  assembleModule,
  type Code,
  countDown,
  defineFunction,
  f32x4,
  i8x16,
  i32,
  type Local,
  v128,
} from "../image/wasm-assembler.ts";

/** Bytes of vectors that are compared at once: they stay in the processor's cache. */
const blockBytes = 512 * 1024;
const pageBytes = 65_536;
/** Bytes that one turn of the kernel's loop takes of each vector. */
const turnBytes = 32;
/** The kernel's answer for one vector: four partial products, and four partial sums of squares. */
const answerFloats = 8;

/** Bytes of one vector where they lie one after the other: a whole number of turns, the rest zeros. */
export function strideOf(dimensions: number): number {
  return Math.ceil((dimensions * Float32Array.BYTES_PER_ELEMENT) / turnBytes) * turnBytes;
}

export interface ScoreKernel {
  /** Where the vectors of a block are put: float32, each of `strideOf` bytes. */
  readonly block: Uint8Array<ArrayBuffer>;
  /**
   * The cosines of the vectors in `block` with the query.
   *
   * @param count how many there are.
   * @param into takes one a vector; NaN where it is zero or not finite. Right to some 1e-6.
   */
  score(count: number, into: Float32Array): void;
}

/**
 * Makes the kernel for one query.
 *
 * @param query float32, [dimensions], not zero.
 */
export function createScoreKernel(query: Float32Array): ScoreKernel {
  const stride = strideOf(query.length);
  const capacity = Math.max(1, Math.floor(blockBytes / stride));
  const { memory, score } = instantiate();
  const blockAt = stride;
  const answersAt = blockAt + capacity * stride;
  const bytes = answersAt + capacity * answerFloats * Float32Array.BYTES_PER_ELEMENT;
  memory.grow(Math.ceil(bytes / pageBytes));
  new Float32Array(memory.buffer, 0, query.length).set(query);
  const length = Math.hypot(...query);
  const answers = new Float32Array(memory.buffer, answersAt, capacity * answerFloats);
  return {
    block: new Uint8Array(memory.buffer, blockAt, capacity * stride),
    score: (count, into) => {
      if (count === 0) return;
      score(blockAt, count, stride / turnBytes, answersAt);
      for (let at = 0; at < count; at += 1) {
        const answer = at * answerFloats;
        into[at] = sumOf4(answers, answer) / (Math.sqrt(sumOf4(answers, answer + 4)) * length);
      }
    },
  };
}

function sumOf4(floats: Float32Array, at: number): number {
  const [a = 0, b = 0] = [floats[at], floats[at + 1]];
  return a + b + (floats[at + 2] ?? 0) + (floats[at + 3] ?? 0);
}

const zeros = i8x16.const(new Array<number>(16).fill(0));

/** `score(vectors, count, turns, answers)`; the query lies at 0. */
const kernel = defineFunction("score", 4, (local, ...parameters) => {
  const [vectors, count, turns, answers] = parameters;
  if (!vectors || !count || !turns || !answers) throw new TypeError("four parameters");
  const [left, query] = [local("i32"), local("i32")];
  const [products, squares] = [pairOf(local), pairOf(local)];
  const x = local("v128");
  const half = (offset: number, at: 0 | 1): Code => [
    x.set(v128.load(i32.add(vectors.get, i32.const(offset)))),
    products[at].set(
      f32x4.add(
        products[at].get,
        f32x4.mul(x.get, v128.load(i32.add(query.get, i32.const(offset)))),
      ),
    ),
    squares[at].set(f32x4.add(squares[at].get, f32x4.mul(x.get, x.get))),
  ];
  return countDown(count, [
    [...products, ...squares].map((sum) => sum.set(zeros)),
    query.set(i32.const(0)),
    left.set(turns.get),
    countDown(left, [
      half(0, 0),
      half(16, 1),
      vectors.advance(i32.const(turnBytes)),
      query.advance(i32.const(turnBytes)),
    ]),
    v128.store(answers.get, f32x4.add(products[0].get, products[1].get)),
    v128.store(i32.add(answers.get, i32.const(16)), f32x4.add(squares[0].get, squares[1].get)),
    answers.advance(i32.const(answerFloats * Float32Array.BYTES_PER_ELEMENT)),
  ]);
});

/** Two sums, so that one addition need not wait for the one before. */
function pairOf(local: (type: "v128") => Local): readonly [Local, Local] {
  return [local("v128"), local("v128")];
}

const compiled = assembleModule([kernel]);

function instantiate() {
  const { memory, score } = new WebAssembly.Instance(compiled).exports;
  if (!(memory instanceof WebAssembly.Memory) || typeof score !== "function") {
    throw new TypeError("the kernel does not export what it should");
  }
  return { memory, score };
}
