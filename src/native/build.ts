/** Builds the executable: `bun src/native/build.ts [outfile]`, by default `dist/imagesvc`. */
import { rename } from "node:fs/promises";
import { resolve } from "node:path";
import { createNativePlugin } from "./build-plugin.ts";

/** Absolute path of the repository. */
const root = resolve(import.meta.dir, "../..");

/**
 * Builds one file that runs without node_modules, for the system that it is built on.
 *
 * @param outfile path of the executable.
 * @throws Error naming what is wrong with the program or has changed in a dependency.
 */
async function buildExecutable(outfile: string): Promise<void> {
  const { plugin, assertComplete } = createNativePlugin(root);
  const unchecked = `${outfile}.unchecked`;
  await Bun.build({
    entrypoints: ["src/main.ts", "workers/inference.ts", "workers/pool-worker.ts"].map((path) =>
      resolve(root, path),
    ),
    root,
    target: "bun",
    format: "esm",
    minify: true,
    bytecode: true,
    plugins: [plugin],
    // piscina loads it only to lower a thread's priority; bundled, it would bring this machine's path.
    external: ["@napi-rs/nice"],
    // A .env or bunfig.toml in the folder where the service happens to start must not change it.
    compile: { outfile: unchecked, autoloadDotenv: false, autoloadBunfig: false },
  });
  assertComplete();
  await rename(unchecked, outfile);
}

if (import.meta.main) {
  const outfile = resolve(process.argv[2] ?? resolve(root, "dist/imagesvc"));
  await buildExecutable(outfile);
  process.stdout.write(`${outfile}\n`);
}
