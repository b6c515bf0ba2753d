/** Builds the executable: `bun src/native/build.ts [outfile]`, by default `dist/imagesvc`. */
import { mkdir, rename, rm } from "node:fs/promises";
import { join, resolve } from "node:path";
import { readFacts } from "../release/facts.ts";
import { type Component, leftOutPackages, readInventory } from "../release/inventory.ts";
import { writeNotices } from "../release/notices.ts";
import { hostPlatform, type Platform, sourceRoot } from "../release/platform.ts";
import { createNativePlugin } from "./build-plugin.ts";
import { packMerges } from "./packed-merges.ts";
import { bundleWebPage } from "./web-page.ts";

/** What was built in. */
interface Build {
  readonly components: readonly Component[];
  /** The third-party notices. */
  readonly notices: string;
}

/**
 * Builds one file that runs without node_modules. The same sources, packages and Bun make the same bytes,
 * wherever they lie.
 *
 * @param outfile absolute path of the executable.
 * @throws Error naming what is wrong with the program, has changed in a dependency, or has no licence.
 */
export async function buildExecutable(outfile: string, platform: Platform): Promise<Build> {
  const root = sourceRoot;
  const [facts, components] = await Promise.all([
    readFacts(root, platform),
    readInventory(root, platform),
  ]);
  const notices = await writeNotices(root, components);
  // The executable contains the names that its files have here: so these are always the same.
  const place = `${outfile}.building`;
  const [noticesPath, merges] = [join(place, "NOTICES"), join(place, "merges.txt.zst")];
  const webPage = { script: join(place, "page.js"), style: join(place, "page.css") };
  const ingredients = { root, platform, facts, notices: noticesPath, merges, webPage };
  await mkdir(place, { recursive: true });
  try {
    await Bun.write(noticesPath, notices);
    await Bun.write(merges, packMerges());
    const { script, style } = await bundleWebPage(join(root, "src/web/page"));
    await Bun.write(webPage.script, script);
    await Bun.write(webPage.style, style);
    const { plugin, assertComplete } = createNativePlugin(ingredients);
    const { metafile } = await Bun.build({
      entrypoints: [
        "src/main.ts",
        "workers/inference.ts",
        "workers/json.ts",
        "workers/cache.ts",
        "workers/pool-worker.ts",
      ].map((path) => resolve(root, path)),
      root,
      target: "bun",
      format: "esm",
      minify: true,
      bytecode: true,
      metafile: true,
      plugins: [plugin],
      external: [...leftOutPackages],
      compile: {
        outfile: join(place, "imagesvc"),
        target: `bun-linux-${platform.arch}`,
        ...(platform.bun !== undefined && { executablePath: platform.bun }),
        // A .env or bunfig.toml in the folder where the service happens to start must not change it.
        autoloadDotenv: false,
        autoloadBunfig: false,
      },
    });
    assertComplete();
    assertListed(Object.keys(metafile?.inputs ?? {}), components);
    await rename(join(place, "imagesvc"), outfile);
  } finally {
    await rm(place, { recursive: true, force: true });
  }
  return { components, notices };
}

/**
 * Asserts that the notices name every package of which a file is inside.
 *
 * @param inputs paths of the bundled files.
 */
function assertListed(inputs: readonly string[], components: readonly Component[]): void {
  const listed = new Set(components.map(({ name }) => name));
  const packages = inputs.flatMap(
    (path) => /.*node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(path)?.[1] ?? [],
  );
  const missing = [...new Set(packages)].filter((name) => !listed.has(name));
  if (packages.length === 0 || missing.length > 0) {
    throw new Error(`the notices do not name ${missing.join(", ")}: add it to package.json`);
  }
}

if (import.meta.main) {
  const outfile = resolve(process.argv[2] ?? join(sourceRoot, "dist/imagesvc"));
  await buildExecutable(outfile, hostPlatform());
  process.stdout.write(`${outfile}\n`);
}
