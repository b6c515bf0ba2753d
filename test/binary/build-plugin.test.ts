import { afterAll, expect, test } from "bun:test";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createNativePlugin } from "../../src/native/build-plugin.ts";

const root = await mkdtemp(join(tmpdir(), "imagesvc-plugin-"));
afterAll(() => rm(root, { recursive: true, force: true }));

/** Bundles one module, as if it were a dependency's, with the plugin of the executable. */
async function bundle(module: string, text: string) {
  const path = join(root, "node_modules", module);
  await mkdir(join(path, ".."), { recursive: true });
  await Bun.write(path, text);
  const { plugin, assertComplete } = createNativePlugin(root);
  const { outputs, logs } = await Bun.build({
    entrypoints: [path],
    target: "bun",
    plugins: [plugin],
    throw: false,
  });
  return { code: await outputs[0]?.text(), said: logs.join("\n"), assertComplete };
}

test("piscina's worker is looked for inside the executable", async () => {
  const { code } = await bundle(
    "piscina/dist/index.js",
    "start((0, node_path_1.resolve)(__dirname, 'worker.js'));",
  );
  expect(code).toContain(`start("/$bunfs/root/workers/pool-worker.js")`);
  expect(code).not.toContain("__dirname");
});

test("piscina's mark is the same in every copy of it", async () => {
  const { code } = await bundle("piscina/dist/symbols.js", "mark(Symbol('Piscina.kMovable'));");
  expect(code).toContain("mark(Symbol.for(");
});

test.each([
  "piscina/dist/index.js",
  "piscina/dist/symbols.js",
  "onnxruntime-node/dist/binding.js",
  "sharp/dist/sharp.mjs",
])("a changed %s stops the build and is named", async (module) => {
  const { code, said } = await bundle(module, "console.log('rewritten by its author');");
  expect(code).toBeUndefined();
  expect(said).toContain(`${module} no longer contains`);
});

test("a dependency that has moved its module stops the build and is named", async () => {
  const { assertComplete } = await bundle("piscina/dist/moved.js", "console.log('moved');");
  expect(assertComplete).toThrow("piscina/dist/index.js");
});
