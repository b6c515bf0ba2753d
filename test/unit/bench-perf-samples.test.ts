import { expect, test } from "bun:test";
import { flameGraph } from "../bench/flame-graph-plot.ts";
import { owners, type Part, parsePerfScript, partsOf } from "../bench/perf-samples.ts";

/** What perf prints of a main thread, an inference thread and libvips's. */
const script = `bun.exe 100
\tffffffff82 finish_task_switch+0x1f ([kernel.kallsyms])
\tffffffff81 __x64_sys_fsync ([kernel.kallsyms])
\t    8a12f fsync+0x3 (/usr/lib/libc.so.6)
\t  18562c4 [unknown] (/opt/bun/bun.exe)

Worker 101
\t  176c120 [unknown] (/srv/libonnxruntime.so.1)

Worker 101
\t  176c147 [unknown] (/srv/libonnxruntime.so.1)
\t3f7997643f89657e [unknown] ([unknown])

Worker 101
\t7f6abcf04ac9 [unknown] (/tmp/perf-100.map)

libvips worker 102
\t    8a999 __memmove_avx (/usr/lib/libc.so.6)
\t  3cf45a [unknown] (/srv/libvips-cpp.so.8.18.7)

Bun Pool 0 103
\tffffffff82 asm_exc_page_fault ([kernel.kallsyms])
`;
const operators = { Gemm: 0.75, Softmax: 0.25 };

function part(root: Part, ...path: readonly string[]): Part | undefined {
  return path.reduce<Part | undefined>(
    (at, name) => at?.parts.find((inner) => inner.name === name),
    root,
  );
}

test("samples have a thread and frames, the innermost first", () => {
  const samples = parsePerfScript(script);
  expect(samples).toHaveLength(6);
  expect(samples[0]).toMatchObject({ thread: "bun.exe", tid: 100 });
  expect(samples[0]?.frames[0]).toEqual({
    symbol: "finish_task_switch",
    library: "[kernel.kallsyms]",
  });
  expect(samples[4]?.thread).toBe("libvips worker");
});

test("what the kernel and libc do belongs to whoever called them", () => {
  const root = partsOf(parsePerfScript(script), 100, operators);
  expect(root.samples).toBe(6);
  expect(part(root, "main thread", "Bun: HTTP and JavaScript engine", "fsync()")?.samples).toBe(1);
  expect(part(root, "decoding threads", "libvips: decode", "libc")?.samples).toBe(1);
  expect(part(root, "decoding threads", "kernel and libc", "page faults")?.samples).toBe(1);
});

test("onnxruntime's samples are divided among its operators", () => {
  const root = partsOf(parsePerfScript(script), 100, operators);
  expect(part(root, "inference 1", "onnxruntime", "Gemm")?.samples).toBe(1.5);
  expect(part(root, "inference 1", "onnxruntime", "Softmax")?.samples).toBe(0.5);
  expect(part(root, "inference 1", "JavaScript, WebAssembly: resize")?.samples).toBe(1);
  expect(owners(root).get("onnxruntime")).toBe(2);
});

test("the flame graph names each part with its share, and runs nothing", () => {
  const svg = flameGraph(partsOf(parsePerfScript(script), 100, operators), "six samples");
  expect(svg).toContain("<title>inference 1: 50.0 % of the samples</title>");
  expect(svg).toContain("<title>Gemm: 25.0 % of the samples</title>");
  expect(svg).not.toContain("<script");
});
