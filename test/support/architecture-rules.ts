/** The rules of the house: who may import what, and who may touch the outside world. */
import type { SourceFile } from "./source-files.ts";
import { importsOf, resolveImport, withoutComments } from "./source-text.ts";

/** Where the program starts: every other file must be reachable from one of these. */
const ENTRY_POINTS = [
  "src/main.ts",
  "src/native/build.ts",
  "src/release/client-package.ts",
  "src/release/release.ts",
  "src/web/example/main.tsx",
  "src/web/page/main.tsx",
  "workers/cache.ts",
  "workers/inference.ts",
  "workers/json.ts",
  "workers/pool-worker.ts",
];

/** Layers from the top: a file imports its own layer or any below. */
const LAYERS: readonly { readonly name: string; readonly paths: RegExp }[] = [
  { name: "entry", paths: /^src\/(main|compose|compose-core|compose-monitoring)\.ts$/ },
  { name: "surfaces", paths: /^src\/(http|cli|web)\// },
  { name: "core", paths: /^src\/core\// },
  {
    name: "adapters",
    paths: /^(src\/(sources|store|models|backends|native|monitoring|release)|workers)\//,
  },
  { name: "pure", paths: /^src\/(image|text|net|vector)\// },
  { name: "base", paths: /^src\/(config|setting|errors|limits|log|observer)\.ts$/ },
];

/** What `workers/` may import of ours, beside itself, pure and base. */
const OPEN_TO_WORKERS =
  /^(workers\/|src\/(native\/|models\/onnx\/|backends\/protocol\.ts|models\/(checked-files|disk-space|folder-fault|packed|prepared|prepared-check|safetensors|seeded-tensors)\.ts|store\/embedding-(database|rows)\.ts))/;

/** Packages that belong to one place. */
const PACKAGE_HOMES: readonly {
  readonly name: RegExp;
  readonly home: RegExp;
  readonly mend: string;
}[] = [
  { name: /^sharp($|\/)/, home: /^workers\//, mend: "decode in workers/" },
  { name: /^onnxruntime-node($|\/)/, home: /^workers\//, mend: "infer in workers/" },
  {
    name: /^elysia($|\/)|^@elysiajs\//,
    home: /^src\/(http\/|compose\.ts$)/,
    mend: "keep HTTP in src/http/",
  },
  { name: /^react(-dom)?($|\/)/, home: /^src\/web\//, mend: "keep pages in src/web/" },
];

/** Modules of the runtime that neither read, write nor tell the time. */
const PURE_MODULES =
  /^node:(assert|buffer|crypto|path|querystring|string_decoder|url|util|zlib)(\/|$)/;

/** Ways out of pure code that need no import. */
const IMPURE =
  /\b(?:Bun\.(?:file|write|serve|spawn|spawnSync|connect|listen|sleep|dns|stdin|stdout|stderr|nanoseconds)|Date\.now|new Date\(\)|performance\.(?:now|timeOrigin)|Math\.random|crypto\.(?:randomUUID|getRandomValues)|randomUUID|randomBytes|fetch\(|setTimeout|setInterval|process\.|console\.)/;

const ENVIRONMENT = /\b(?:process|Bun|import\.meta)\.env\b|from "node:process"/;

/** What may lie at the top of the repository. */
const TOP_LEVEL = [
  ...["src", "workers", "test", "models", "downloads", "systemd", "docs"],
  ...["bunfig.toml", "package.json", "tsconfig.json", "bun.lock"],
  ...["README.md", "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "BENCHMARKS.md"],
  // Made by tools, and kept out by .gitignore.
  ...["node_modules", "dist", "coverage"],
];

/** A file as the rules see it. */
interface Module {
  readonly path: string;
  readonly code: string;
  /** Paths of ours that it imports. */
  readonly internal: readonly string[];
  /** Packages and modules of the runtime that it imports. */
  readonly external: readonly string[];
}

/**
 * Checks a tree of source files against the rules.
 *
 * @param files everything under `src/`, `workers/` and `test/support/`.
 * @returns one sentence a breach, each with its mend; none if the house is in order.
 */
export function findBreaches(files: readonly SourceFile[]): string[] {
  const modules = files.map(readModule);
  const program = modules.filter(({ path }) => !path.startsWith("test/"));
  return [
    ...program.flatMap((module) => [
      ...layerBreaches(module),
      ...packageBreaches(module),
      ...pureBreaches(module),
      ...environmentBreaches(module),
    ]),
    ...modules.flatMap((module) => [
      ...defaultExportBreaches(module),
      ...testImportBreaches(module),
    ]),
    ...deadFiles(program),
    ...importCycles(modules),
  ];
}

/** Checks the names at the top of the repository. */
export function findStrayNames(names: readonly string[]): string[] {
  return names
    .filter((name) => !name.startsWith(".") && !TOP_LEVEL.includes(name))
    .map(
      (name) => `${name} lies at the top of the repository: move it into the folder it belongs to`,
    );
}

function readModule({ path, text }: SourceFile): Module {
  const imports = importsOf(text).map((specifier) => ({
    specifier,
    target: resolveImport(path, specifier),
  }));
  return {
    path,
    code: withoutComments(text),
    internal: imports.flatMap(({ target }) =>
      target === undefined || target.startsWith("node_modules/") ? [] : [target],
    ),
    external: imports.flatMap(({ specifier, target }) => (target === undefined ? [specifier] : [])),
  };
}

function layerBreaches({ path, internal }: Module): string[] {
  const rank = rankOf(path);
  if (rank === -1) return [`${path} is in no layer: move it into a room of src/README.md`];
  return internal.flatMap((target) => {
    const why = layerBreach(path, rank, target);
    return why === undefined ? [] : [`${path} imports ${target}: ${why}`];
  });
}

/** @returns why the import is forbidden, with the mend. */
function layerBreach(path: string, rank: number, target: string): string | undefined {
  if (target.startsWith("test/"))
    return "the program does not know its tests; move the code to src/";
  if (isData(target)) return undefined;
  if (target.startsWith("workers/") && !path.startsWith("workers/")) {
    return "src/ knows a worker only by its path; send it a task of backends/protocol.ts";
  }
  const targetRank = rankOf(target);
  if (targetRank === -1) return "that file is in no layer; move it into a room of src/README.md";
  if (targetRank < rank) {
    return `${nameOf(rank)} may not know ${nameOf(targetRank)}; take it as an argument, or move it down`;
  }
  if (path.startsWith("workers/") && targetRank === rank && !OPEN_TO_WORKERS.test(target)) {
    return "workers know of the adapters only protocol, native, the model files and the embedding cache's; send it with the task";
  }
  if (nameOf(rank) === "surfaces" && targetRank === rank && folderOf(target) !== folderOf(path)) {
    return "surfaces are strangers to each other; move what they share to the core";
  }
  return undefined;
}

function packageBreaches({ path, external }: Module): string[] {
  return external.flatMap((specifier) =>
    PACKAGE_HOMES.filter(({ name, home }) => name.test(specifier) && !home.test(path)).map(
      ({ mend }) => `${path} imports ${specifier}: ${mend}`,
    ),
  );
}

function pureBreaches({ path, code, external }: Module): string[] {
  if (nameOf(rankOf(path)) !== "pure") return [];
  const used = IMPURE.exec(code)?.[0];
  const imported = external.filter(
    (specifier) => /^(node|bun)(:|$)/.test(specifier) && !PURE_MODULES.test(specifier),
  );
  return [...imported, ...(used === undefined ? [] : [used])].map(
    (way) =>
      `${path} uses ${way}: pure code has no I/O and no clock; take the value as an argument`,
  );
}

function environmentBreaches({ path, code }: Module): string[] {
  // The name of a constant of bundles, which nothing reads.
  const read = code.replaceAll('"process.env.NODE_ENV"', "");
  if (path === "src/main.ts" || !ENVIRONMENT.test(read)) return [];
  return [`${path} reads the environment: only src/main.ts does; add a row to src/config.ts`];
}

function defaultExportBreaches({ path, code }: Module): string[] {
  if (!/^export default\b|\bas default\b/m.test(code)) return [];
  return [`${path} exports default: export it under its name`];
}

function testImportBreaches({ path, internal }: Module): string[] {
  if (!path.startsWith("test/support/")) return [];
  return internal
    .filter((target) => target.endsWith(".test.ts"))
    .map((target) => `${path} imports ${target}: move what they share to test/support/`);
}

function deadFiles(modules: readonly Module[]): string[] {
  const byPath = new Map(modules.map((module) => [module.path, module]));
  const alive = new Set<string>();
  const next = [...ENTRY_POINTS];
  for (let path = next.pop(); path !== undefined; path = next.pop()) {
    if (alive.has(path)) continue;
    alive.add(path);
    next.push(...(byPath.get(path)?.internal ?? []));
  }
  return modules
    .filter(({ path }) => !alive.has(path))
    .map(({ path }) => `${path} is reached from no entry point: import it, or delete it`);
}

/** Follows every import once, and tells of each that leads back to where it came from. */
function importCycles(modules: readonly Module[]): string[] {
  const imports = new Map(modules.map(({ path, internal }) => [path, internal]));
  const done = new Set<string>();
  const cycles: string[] = [];
  const visit = (path: string, trail: readonly string[]): void => {
    const start = trail.indexOf(path);
    if (start !== -1) {
      const cycle = [...trail.slice(start), path].join(" → ");
      cycles.push(`${cycle} is a cycle: move what both need into a file below them`);
      return;
    }
    if (done.has(path)) return;
    for (const target of imports.get(path) ?? []) visit(target, [...trail, path]);
    done.add(path);
  };
  for (const path of imports.keys()) visit(path, []);
  return cycles;
}

/** @returns the layer's place from the top, or -1. */
function rankOf(path: string): number {
  return LAYERS.findIndex(({ paths }) => paths.test(path));
}

function nameOf(rank: number): string {
  return LAYERS[rank]?.name ?? "a file outside the layers";
}

/** @returns `http` of `src/http/app.ts`. */
function folderOf(path: string): string | undefined {
  return path.split("/")[1];
}

/** Whether an import is read rather than run, such as a JSON table. */
function isData(path: string): boolean {
  return !/\.tsx?$/.test(path);
}
