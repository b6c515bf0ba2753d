/**
 * In which arithmetic an image tower multiplies: float32, or bytes whose products are summed as 32-bit integers.
 * `int8-7bit` keeps weights to 7 bits, for processors whose sums of two products saturate at 16 bits.
 */
export type Arithmetic = "fp32" | Int8Arithmetic;
export type Int8Arithmetic = "int8" | "int8-7bit";

/** Largest magnitude of a quantised weight. */
export function maxWeightCode(arithmetic: Int8Arithmetic): 127 | 63 {
  return arithmetic === "int8" ? 127 : 63;
}

/**
 * The int8 arithmetic that gives right sums on a processor.
 *
 * AVX2 and AVX-512 without VNNI multiply by `vpmaddubsw`, which adds two products of an unsigned and a signed byte in
 * 16 bits: 2 · 255 · 127 does not fit, 2 · 255 · 63 does. VNNI adds four in 32 bits. On arm64 every kernel of
 * onnxruntime widens before it adds, with the dot-product instructions and without.
 *
 * @param arch as Node.js spells it.
 * @param features as `cpuFeatures` gives them.
 * @see Intel's Software Developer's Manual, VPMADDUBSW and VPDPBUSD.
 */
export function int8ArithmeticFor(arch: string, features: readonly string[]): Int8Arithmetic {
  if (arch === "arm64") return "int8";
  const isWide = features.includes("avx512_vnni") || features.includes("avx_vnni");
  return isWide ? "int8" : "int8-7bit";
}
