/** What of this host's processor the inference library can make use of. */
import { readFile } from "node:fs/promises";

/**
 * The features that decide how fast a model runs, as `/proc/cpuinfo` spells them: x86-64's wide and
 * dot-product instructions, then arm64's.
 */
const RELEVANT = [
  ...["avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16"],
  ...["asimd", "asimddp", "i8mm", "bf16", "sve", "sve2", "sme", "sme2"],
] as const;

/**
 * Reads which of the relevant features the first processor of this host has.
 *
 * @returns names in the order of the table, such as `["avx2", "avx512f"]`; none where `/proc/cpuinfo`
 * cannot be read.
 */
export async function cpuFeatures(): Promise<readonly string[]> {
  return parseCpuFeatures(await readFile("/proc/cpuinfo", "utf8").catch(() => ""));
}

/**
 * Finds the relevant features in the text of `/proc/cpuinfo`.
 *
 * @param cpuinfo as proc_cpuinfo(5) has it: the list is called `flags` on x86-64, `Features` on arm64.
 */
export function parseCpuFeatures(cpuinfo: string): readonly string[] {
  const listed = /^(?:flags|Features)\s*:(.*)$/m.exec(cpuinfo)?.[1] ?? "";
  const names = new Set(listed.trim().split(/\s+/));
  return RELEVANT.filter((name) => names.has(name));
}
