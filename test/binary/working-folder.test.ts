/** What lies in the folder where the service happens to start has no say in what it does. */
import { expect, test } from "bun:test";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { serveReady } from "../support/executable.ts";
import { temporaryFolder } from "../support/tiny-clip.ts";

test(".env, bunfig.toml and node_modules change nothing", async () => {
  await using folder = await temporaryFolder();
  const mark = join(folder.path, "was-run");
  const hostile = `require("node:fs").writeFileSync(${JSON.stringify(mark)}, ""); process.exit(66);`;
  const packages = ["sharp", "onnxruntime-node", "piscina", "@napi-rs/nice", "bun:ffi", "elysia"];
  for (const name of packages) {
    await Bun.write(join(folder.path, "node_modules", name, "index.js"), hostile);
  }
  await Bun.write(join(folder.path, "preload.js"), hostile);
  await Bun.write(join(folder.path, "bunfig.toml"), 'preload = ["./preload.js"]\n');
  await Bun.write(join(folder.path, ".env"), "PORT=not-a-port\nNATIVE_DIR=/nowhere\n");
  await Bun.write(join(folder.path, "package.json"), '{ "main": "preload.js" }');
  const before = await readdir(folder.path);
  await using service = await serveReady({ cwd: folder.path });
  expect((await fetch(new URL("/livez", service.at))).status).toBe(200);
  expect(await readdir(folder.path)).toEqual(before);
});
