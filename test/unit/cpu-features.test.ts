import { expect, test } from "bun:test";
import { cpuFeatures, parseCpuFeatures } from "../../src/native/cpu-features.ts";

test("x86-64's features are found among the flags, as whole words", () => {
  const cpuinfo = "processor\t: 0\nvmx flags\t: amx_bf16\nflags\t\t: fpu avx512f avx2 amx_int8x\n";
  expect(parseCpuFeatures(cpuinfo)).toEqual(["avx2", "avx512f"]);
});

test("arm64's features are found", () => {
  const cpuinfo = "processor\t: 0\nFeatures\t: fp asimd crc32 asimddp i8mm\nCPU part\t: 0xd40\n";
  expect(parseCpuFeatures(cpuinfo)).toEqual(["asimd", "asimddp", "i8mm"]);
});

test.each(["", "flags\t\t:\n", "model name\t: avx2\n"])(
  "no features are found in %j",
  (cpuinfo) => {
    expect(parseCpuFeatures(cpuinfo)).toEqual([]);
  },
);

test("this host has the vectors that every 64-bit server of ours has", async () => {
  expect(await cpuFeatures()).toContain(process.arch === "arm64" ? "asimd" : "avx2");
});
