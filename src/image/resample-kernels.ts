/**
 * The two passes of the resampler, sixteen bytes at a time: Pillow's own arithmetic, in the order in
 * which 32-bit integers do not mind.
 *
 * A weight has 23 bits and a sign, too many for a 16-bit product, so it goes in two halves: Σ w·s is
 * (Σ high·s << 15) + Σ low·s. `i32x4.dot_i16x8_s` multiplies and adds two taps at once, and whatever
 * overflows on the way overflows in Pillow too, or cancels out, modulo 2³².
 *
 * @see Pillow 9.4 `src/libImaging/Resample.c` (`ImagingResampleHorizontal_8bpc`,
 *   `ImagingResampleVertical_8bpc`).
 */
import { PRECISION_BITS, type Taps } from "./taps.ts";
import {
  assembleModule,
  type Code,
  countDown,
  defineFunction,
  i8x16,
  i16x8,
  i32,
  i32x4,
  type Local,
  loop,
  v128,
  type WasmFunction,
} from "./wasm-assembler.ts";

/** Bits of a weight's low half; its high half then has 9 and the sign. */
const LOW_BITS = 15;
const LOW_HALF = (1 << LOW_BITS) - 1;
/** Bytes of a record's first two numbers, and of each of its pairs. */
const HEAD_BYTES = 8;
const PAIR_BYTES = 8;
/** Bytes that the kernels may read or write beyond what they are told of. */
export const SLACK_BYTES = 16;

/** Code and memory of an instance of the kernels; addresses and sizes are in bytes. */
export interface ResampleKernels {
  readonly memory: WebAssembly.Memory;
  /**
   * Horizontal pass: uint8, [rows, sourcePitch] → [rows, targetPitch], of which the first three bytes an output
   * are meant. It is faster where at least a byte is left between the rows.
   */
  narrow(
    source: number,
    sourcePitch: number,
    rows: number,
    target: number,
    targetPitch: number,
    taps: number,
    outputs: number,
  ): void;
  /** Vertical pass over the first `width` bytes: uint8, [rows, sourcePitch] → [outputs, targetPitch]. */
  shorten(
    source: number,
    sourcePitch: number,
    width: number,
    target: number,
    targetPitch: number,
    taps: number,
    outputs: number,
  ): void;
}

/**
 * Writes taps down for a kernel, a record an output: where its samples start, and how many bytes of
 * pairs follow; of each pair the low halves of both weights, and the high ones. A single last tap is
 * paired with one of weight 0.
 *
 * @param sampleBytes from one source sample to the next: 3 of a pixel in a row, or the rows' pitch.
 */
export function encodeTaps(taps: Taps, sampleBytes: number): Int32Array {
  const { starts, counts, weights, stride } = taps;
  const records: number[] = [];
  for (const [output, count] of counts.entries()) {
    records.push((starts[output] ?? 0) * sampleBytes, Math.ceil(count / 2) * PAIR_BYTES);
    const end = output * stride + count;
    for (let tap = output * stride; tap < end; tap += 2) {
      const first = weights[tap] ?? 0;
      const second = tap + 1 < end ? (weights[tap + 1] ?? 0) : 0;
      records.push((first & LOW_HALF) | ((second & LOW_HALF) << 16));
      records.push(((first >> LOW_BITS) & 0xffff) | ((second >> LOW_BITS) << 16));
    }
  }
  return Int32Array.from(records);
}

const nothing = i32x4.splat(0);
const halfUnit = i32x4.splat(1 << (PRECISION_BITS - 1));

/** The low and the high halves of weights, or the sums of samples that were weighed with them. */
interface Halves {
  readonly low: Local;
  readonly high: Local;
}

const startSums = ({ low, high }: Halves): Code => [low.set(halfUnit), high.set(nothing)];

/** Weighs four pairs of 16-bit samples, and adds each pair to one of four sums. */
const addProducts = ({ low, high }: Halves, samples: Local, weights: Halves): Code => [
  low.set(i32x4.add(low.get, i32x4.dot_i16x8_s(samples.get, weights.low.get))),
  high.set(i32x4.add(high.get, i32x4.dot_i16x8_s(samples.get, weights.high.get))),
];

/** The sums, rounded to whole samples. They began with half a unit, so the shift rounds. */
const samplesOf = ({ low, high }: Halves): Code =>
  i32x4.shr_s(i32x4.add(low.get, i32x4.shl(high.get, LOW_BITS)), PRECISION_BITS);

const loadWeights = ({ low, high }: Halves, tap: Local): Code => [
  low.set(v128.load32_splat(tap.get, 0)),
  high.set(v128.load32_splat(tap.get, 4)),
];

const endOfRecord = (start: Local): Code =>
  i32.add(i32.add(start.get, i32.const(HEAD_BYTES)), i32.load(start.get, 4));

/**
 * Defines a horizontal pass that works on some rows at once. Four share what a pair of weights costs to load and
 * to count, which is half of the work, and their sums still fit into the registers.
 */
function defineNarrow(name: string, rowsAtOnce: number): WasmFunction {
  return defineFunction(
    name,
    7,
    (local, source, sourcePitch, blocks, target, targetPitch, taps, outputs) => {
      const [tap, end, output] = [local("i32"), local("i32"), local("i32")];
      const weights = { low: local("v128"), high: local("v128") };
      const samples = local("v128");
      const rows = Array.from({ length: rowsAtOnce }, () => ({
        pixel: local("i32"),
        to: local("i32"),
        sums: { low: local("v128"), high: local("v128") },
      }));
      /** Sets a pointer of each row, a pitch below the one before. */
      const point = (pointers: readonly Local[], first: Code, pitch: Local) =>
        pointers.map((pointer, row) => {
          const above = pointers[row - 1];
          return pointer.set(above === undefined ? first : i32.add(above.get, pitch.get));
        });
      // R G B R' G' B' → R R' G G' B B', each of 16 bits.
      const none = 255;
      const places = [0, 3, 1, 4, 2, 5, none, none].flatMap((place) => [place, none]);
      return countDown(blocks, [
        tap.set(taps.get),
        output.set(outputs.get),
        point(
          rows.map(({ to }) => to),
          target.get,
          targetPitch,
        ),
        countDown(output, [
          point(
            rows.map(({ pixel }) => pixel),
            i32.add(source.get, i32.load(tap.get, 0)),
            sourcePitch,
          ),
          end.set(endOfRecord(tap)),
          tap.advance(i32.const(HEAD_BYTES)),
          rows.map(({ sums }) => startSums(sums)),
          loop(
            [
              loadWeights(weights, tap),
              rows.map(({ pixel, sums }) => [
                samples.set(i8x16.swizzle(v128.load64_zero(pixel.get), i8x16.const(places))),
                addProducts(sums, samples, weights),
                pixel.advance(i32.const(6)),
              ]),
              tap.advance(i32.const(PAIR_BYTES)),
            ],
            i32.lt_u(tap.get, end.get),
          ),
          // The fourth byte is nobody's: the next output overwrites it, or it is between the rows.
          rows.map(({ sums, to }) => [
            v128.store32(to.get, toBytes(samplesOf(sums), nothing, nothing, nothing)),
            to.advance(i32.const(3)),
          ]),
        ]),
        rows.map(() => [source.advance(sourcePitch.get), target.advance(targetPitch.get)]),
      ]);
    },
  );
}

const narrowOne = defineNarrow("narrowOne", 1);
const narrowFour = defineNarrow("narrowFour", 4);

const shorten = defineFunction(
  "shorten",
  7,
  (local, source, sourcePitch, width, target, targetPitch, taps, outputs) => {
    const [tap, end, x, row] = [local("i32"), local("i32"), local("i32"), local("i32")];
    const weights = { low: local("v128"), high: local("v128") };
    const createSums = () => ({ low: local("v128"), high: local("v128") });
    const [a, b, c, d] = [createSums(), createSums(), createSums(), createSums()];
    const [upper, lower, samples] = [local("v128"), local("v128"), local("v128")];
    const loadRow = (bytes: Local) => [bytes.set(v128.load(row.get)), row.advance(sourcePitch.get)];
    /** Eight bytes of both rows: upper, lower, upper, lower… */
    const interleave = (first: number) => {
      const places = Array.from({ length: 8 }, (_, index) => [first + index, 16 + first + index]);
      return i8x16.shuffle(upper.get, lower.get, places.flat());
    };
    const weigh = (sums: Halves, pairs: Code) => [
      samples.set(pairs),
      addProducts(sums, samples, weights),
    ];
    return countDown(outputs, [
      x.set(i32.const(0)),
      loop(
        [
          row.set(i32.add(i32.add(source.get, x.get), i32.load(taps.get, 0))),
          end.set(endOfRecord(taps)),
          tap.set(i32.add(taps.get, i32.const(HEAD_BYTES))),
          [a, b, c, d].map(startSums),
          loop(
            [
              loadWeights(weights, tap),
              loadRow(upper),
              loadRow(lower),
              weigh(a, i16x8.extend_low_i8x16_u(interleave(0))),
              weigh(b, i16x8.extend_high_i8x16_u(interleave(0))),
              weigh(c, i16x8.extend_low_i8x16_u(interleave(8))),
              weigh(d, i16x8.extend_high_i8x16_u(interleave(8))),
              tap.advance(i32.const(PAIR_BYTES)),
            ],
            i32.lt_u(tap.get, end.get),
          ),
          v128.store(
            i32.add(target.get, x.get),
            toBytes(samplesOf(a), samplesOf(b), samplesOf(c), samplesOf(d)),
          ),
          x.advance(i32.const(16)),
        ],
        i32.lt_u(x.get, width.get),
      ),
      target.advance(targetPitch.get),
      taps.set(tap.get),
    ]);
  },
);

/** Sixteen 32-bit samples as bytes, clipped to 0…255. */
function toBytes(a: Code, b: Code, c: Code, d: Code): Code {
  return i8x16.narrow_i16x8_u(i16x8.narrow_i32x4_s(a, b), i16x8.narrow_i32x4_s(c, d));
}

const compiled = assembleModule([narrowOne, narrowFour, shorten]);

/** Makes an instance, with memory of its own. */
export function createResampleKernels(): ResampleKernels {
  const { exports } = new WebAssembly.Instance(compiled);
  const { memory, narrowOne, narrowFour, shorten } = exports;
  if (!(memory instanceof WebAssembly.Memory)) throw new TypeError("the kernels have no memory");
  if (typeof narrowOne !== "function") throw new TypeError("narrowOne is missing");
  if (typeof narrowFour !== "function") throw new TypeError("narrowFour is missing");
  if (typeof shorten !== "function") throw new TypeError("shorten is missing");
  return {
    memory,
    narrow: (source, sourcePitch, rows, target, targetPitch, taps, outputs) => {
      // Four rows at once would write into each other's begin where there is nothing between them.
      const blocks = targetPitch >= outputs * 3 + 1 ? rows >> 2 : 0;
      const done = blocks * 4;
      if (blocks > 0) narrowFour(source, sourcePitch, blocks, target, targetPitch, taps, outputs);
      if (done === rows) return;
      const [below, under] = [source + done * sourcePitch, target + done * targetPitch];
      narrowOne(below, sourcePitch, rows - done, under, targetPitch, taps, outputs);
    },
    shorten: (...numbers) => shorten(...numbers),
  };
}
