/** The executable is replaced under a service that runs, which then upgrades itself to it. */
import { expect, test } from "bun:test";
import { copyFile, mkdtemp, readlink, rename, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { builtExecutable, serveReady } from "../support/executable.ts";

test("SIGUSR2 starts the executable that has been put in the place of the old one", async () => {
  const folder = await mkdtemp(join(tmpdir(), "imagesvc-upgrade-"));
  const program = join(folder, "imagesvc");
  await copyFile(await builtExecutable(), program);
  await copyFile(program, `${program}.new`);
  // A port of its own: one that happened to be free would be another for the new instance.
  const probe = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response() });
  const PORT = probe.url.port;
  await probe.stop(true);
  await using old = await serveReady({ program, environment: { PORT } });
  await rename(`${program}.new`, program);
  process.kill(old.pid, "SIGUSR2");
  const successor = Number(await old.logged(/a new instance starts","pid":(\d+)/));
  try {
    await old.logged(/"stopped","code":0/);
    expect(await readlink(`/proc/${successor}/exe`)).toBe(program);
    expect((await fetch(new URL("/readyz", old.at))).status).toBe(200);
  } finally {
    process.kill(successor, "SIGTERM");
    await rm(folder, { recursive: true });
  }
  expect(await old.exited).toBe(0);
});
