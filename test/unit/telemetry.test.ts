import { expect, test } from "bun:test";
import { mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import { connectedSockets } from "../support/connected-sockets.ts";
import { leftOut } from "../support/left-out.ts";
import { temporaryFolder, writeTinyClip } from "../support/tiny-clip.ts";

const program = join(import.meta.dir, "../support/run-onnxruntime.ts");
/** A network of its own in which there is nothing but itself. */
const withoutNetwork = ["unshare", "--map-root-user", "--net"];

interface Traces {
  readonly sockets: readonly string[];
  readonly files: readonly string[];
}

/** Runs onnxruntime in a fresh home, and tells what it left behind. */
async function runFresh(mode: "quiet" | "as-shipped", wrapper: readonly string[]): Promise<Traces> {
  await using folder = await temporaryFolder();
  const { imageTower } = await writeTinyClip(folder.path);
  const fresh = join(folder.path, "fresh");
  await mkdir(join(fresh, "tmp"), { recursive: true });
  const child = Bun.spawn([...wrapper, process.execPath, program, mode, imageTower], {
    env: {
      HOME: fresh,
      TMPDIR: join(fresh, "tmp"),
      BUN_RUNTIME_TRANSPILER_CACHE_PATH: "0",
    },
  });
  const output = await child.stdout.text();
  expect(await child.exited).toBe(0);
  const files = await readdir(fresh, { recursive: true, withFileTypes: true });
  return {
    sockets: JSON.parse(output),
    files: files.filter((entry) => entry.isFile()).map((entry) => entry.name),
  };
}

test("onnxruntime writes no telemetry file and opens no connection", async () => {
  expect(await runFresh("quiet", [])).toEqual({ sockets: [], files: [] });
});

test("onnxruntime as shipped would: the files looked for are the ones it writes", async () => {
  // Without a network, so that this test sends nothing either.
  if (Bun.spawnSync([...withoutNetwork, "true"]).exitCode !== 0) {
    leftOut("onnxruntime's telemetry as shipped: this host lets nobody make a network namespace");
    return;
  }
  const { files } = await runFresh("as-shipped", withoutNetwork);
  expect(files).toContain("deviceid");
  expect(files.filter((name) => name.startsWith("mat-debug-"))).toHaveLength(1);
});

test("a connected socket would be seen", async () => {
  const socket = await Bun.udpSocket({ connect: { hostname: "127.0.0.1", port: 9 } });
  expect(connectedSockets()).toContain("udp 0100007F:0009");
  socket.close();
});
