/** What `perf script` prints, as samples; and which part of the service each was in. Texts in, numbers out. */

/** Where one thread was at one moment. */
export interface Sample {
  readonly thread: string;
  readonly tid: number;
  /** Innermost first. */
  readonly frames: readonly Frame[];
}

interface Frame {
  readonly symbol: string;
  /** File name of the library or program. */
  readonly library: string;
}

/** A part of the service, and how many samples were in it or in its own parts. */
export interface Part {
  readonly name: string;
  readonly samples: number;
  readonly parts: readonly Part[];
}

/** Reads what `perf script -F comm,tid,ip,sym,dso` has printed. */
export function parsePerfScript(text: string): readonly Sample[] {
  return text
    .trim()
    .split(/\n\s*\n/)
    .flatMap((block) => {
      const [head = "", ...lines] = block.split("\n");
      const found = /^(.+?)\s+(\d+)\s*$/.exec(head.trim());
      if (found === null) return [];
      const [, thread = "", tid = ""] = found;
      return [{ thread, tid: Number(tid), frames: lines.flatMap(parseFrame) }];
    });
}

/** A line such as `7f6a symbol+0x1 (/path/to/library.so)`. */
function parseFrame(line: string): readonly Frame[] {
  const found = /^\s*[0-9a-f]+ (.+) \((.*)\)$/.exec(line);
  if (found === null) return [];
  const [, symbol = "", path = ""] = found;
  return [{ symbol: symbol.replace(/\+0x[0-9a-f]+$/, ""), library: path.split("/").at(-1) ?? "" }];
}

/**
 * Sorts samples by thread, by whose code it was, and by what libc or the kernel did for it.
 *
 * @param pid of the service; its main thread has the same number.
 * @param operators shares of onnxruntime's time, by kind of operator: its library has no symbols.
 */
export function partsOf(
  samples: readonly Sample[],
  pid: number,
  operators: Readonly<Record<string, number>>,
): Part {
  const root = createNode();
  const threadNames = nameThreads(samples, pid);
  for (const { tid, frames } of samples) {
    const [owner, ...deeper] = ownerOf(frames);
    const path = [threadNames.get(tid) ?? "other threads", owner, ...deeper];
    addSample(root, path);
  }
  return toPart("the service", root, operators);
}

/** Samples of each owner, over all threads. */
export function owners(root: Part): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const { name, samples } of root.parts.flatMap((thread) => thread.parts)) {
    counts.set(name, (counts.get(name) ?? 0) + samples);
  }
  return new Map([...counts].sort(([, a], [, b]) => b - a));
}

export const onnxruntime = "onnxruntime";

/** Libraries by the start of their names; what belongs to nobody of these is JavaScript's. */
const ownerNames: readonly (readonly [string, string])[] = [
  ["libonnxruntime", onnxruntime],
  ["onnxruntime_binding", onnxruntime],
  ["libvips", "libvips: decode"],
  ["sharp", "libvips: decode"],
  ["bun", "Bun: HTTP and JavaScript engine"],
  ["perf-", "JavaScript, WebAssembly: resize"],
  ["[JIT]", "JavaScript, WebAssembly: resize"],
];

/** Libraries that work for whoever called them. */
const isServant = ({ library }: Frame): boolean =>
  /^(lib(c|m|pthread|stdc\+\+|gcc_s)[.-]|\[|ld-)/.test(library) && !library.startsWith("[JIT]");

/** Whose code a sample was in, and what libc or the kernel did for it. */
function ownerOf(frames: readonly Frame[]): readonly [string, ...string[]] {
  const caller = frames.find((frame) => !isServant(frame));
  const owner = ownerNames.find(([start]) => caller?.library.startsWith(start))?.[1];
  const [leaf] = frames;
  if (leaf === undefined || !isServant(leaf)) return [owner ?? "other"];
  const service = leaf.library.startsWith("[kernel") ? kernelService(frames) : "libc";
  return owner === undefined ? ["kernel and libc", service] : [owner, service];
}

/** What the kernel was asked for. */
function kernelService(frames: readonly Frame[]): string {
  for (const { symbol } of frames) {
    const call = /^__x64_sys_(\w+)$|^__arm64_sys_(\w+)$/.exec(symbol);
    if (call !== null) return `${call[1] ?? call[2]}()`;
    if (symbol.includes("page_fault")) return "page faults";
  }
  return "kernel";
}

/** Plain names for threads: those that infer are told by what they do, since all workers are called alike. */
function nameThreads(samples: readonly Sample[], pid: number): ReadonlyMap<number, string> {
  const byThread = Map.groupBy(samples, ({ tid }) => tid);
  const names = new Map<number, string>();
  let inference = 0;
  for (const [tid, own] of [...byThread].sort(([a], [b]) => a - b)) {
    const infers = own.filter(({ frames }) => ownerOf(frames)[0] === onnxruntime).length;
    if (tid === pid) names.set(tid, "main thread");
    else if (infers * 2 > own.length) {
      inference += 1;
      names.set(tid, `inference ${inference}`);
    } else
      names.set(
        tid,
        poolNames.find(([start]) => own[0]?.thread.startsWith(start))?.[1] ?? "other threads",
      );
  }
  return names;
}

const poolNames: readonly (readonly [string, string])[] = [
  ["libvips", "decoding threads"],
  ["Bun Pool", "decoding threads"],
  ["Worker", "other workers"],
  ["JITWorker", "compiler, garbage collector"],
  ["HeapHelper", "compiler, garbage collector"],
  ["mi-scavenger", "compiler, garbage collector"],
];

interface Node {
  samples: number;
  readonly parts: Map<string, Node>;
}

function createNode(): Node {
  return { samples: 0, parts: new Map() };
}

function addSample(root: Node, path: readonly string[]): void {
  let node = root;
  node.samples += 1;
  for (const name of path) {
    const next = node.parts.get(name) ?? createNode();
    node.parts.set(name, next);
    next.samples += 1;
    node = next;
  }
}

function toPart(name: string, node: Node, operators: Readonly<Record<string, number>>): Part {
  const parts = [...node.parts].map(([partName, part]) => toPart(partName, part, operators));
  if (name === onnxruntime) {
    const own = node.samples - parts.reduce((sum, { samples }) => sum + samples, 0);
    for (const [operator, share] of Object.entries(operators)) {
      parts.push({ name: operator, samples: own * share, parts: [] });
    }
  }
  return { name, samples: node.samples, parts: parts.sort((a, b) => b.samples - a.samples) };
}
