/** The embedding cache on a disk that is full or read-only: requests go on, and the log says it once. */
import { expect, test } from "bun:test";
import { mkdir, open } from "node:fs/promises";
import { join } from "node:path";
import { answerOf, postFile, until } from "../support/client.ts";
import { leftOut } from "../support/left-out.ts";
import { concat, makeJpeg } from "../support/pictures.ts";
import { type ServiceProcess, startProcess } from "../support/process.ts";
import { temporaryFolder } from "../support/tiny-clip.ts";

const main = join(import.meta.dir, "../../src/main.ts");
const clip = { query: "?model=clip-ViT-B-32" };

/**
 * Starts a service whose cache lies on a small disk in its own mount namespace: SQLite would find its way out of
 * any other one.
 *
 * @returns undefined where this user may not mount one, which is told.
 */
async function startOnSmallDisk(
  folder: string,
  mode: "ro" | "rw",
): Promise<ServiceProcess | undefined> {
  const asRoot = process.getuid?.() === 0 ? [] : ["--user", "--map-root-user"];
  const unshare = ["unshare", ...asRoot, "--mount"];
  if (!Bun.spawnSync([...unshare, "true"]).success) {
    leftOut("a full disk under the cache: this user may not mount a file system of its own");
    return undefined;
  }
  const disk = join(folder, "disk");
  await mkdir(disk);
  const mount = `mount -t tmpfs -o size=4m,${mode} tmpfs "$0" && exec "$@"`;
  const command = [...unshare, "sh", "-c", mount, disk, process.execPath, main, "serve"];
  const settings = { CACHE_DIR: disk, CACHE_MAX_BYTES: String(16 * 1024 * 1024) };
  const service = await startProcess(settings, { command });
  await service.logged(/"model ready"/);
  return service;
}

/** Another writer's file takes all that is free on the service's disk. */
async function fill(service: ServiceProcess, folder: string): Promise<void> {
  await using file = await open(`/proc/${service.pid}/root${folder}/disk/filler`, "w");
  const page = new Uint8Array(4096);
  try {
    for (;;) await file.write(page);
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ENOSPC")) throw error;
  }
}

/** Sends a picture that differs with the mark. */
async function sender(service: ServiceProcess) {
  const url = await service.url();
  const picture = await makeJpeg();
  return (mark: number) => postFile({ url }, concat(picture, Uint8Array.of(mark)), clip);
}

async function expectOneWarning(service: ServiceProcess): Promise<void> {
  expect(service.log().match(/"level":"(warn|error)".*cache/g)).toHaveLength(1);
  service.signal("SIGTERM");
  expect(await service.exited).toBe(0);
}

test("a disk that becomes full", async () => {
  await using folder = await temporaryFolder();
  await using service = await startOnSmallDisk(folder.path, "rw");
  if (service === undefined) return;
  const send = await sender(service);
  const first = await answerOf(await send(0));
  await until(async () => (await send(0)).headers.get("server-timing")?.includes("cache") ?? false);
  await fill(service, folder.path);
  for (let mark = 1; mark < 6; mark += 1) await answerOf(await send(mark));
  await service.logged(/embedding cache cannot be written/);
  for (let mark = 6; mark < 11; mark += 1) await answerOf(await send(mark));
  expect(await answerOf(await send(0))).toEqual(first);
  await expectOneWarning(service);
});

test("a disk that is read-only", async () => {
  await using folder = await temporaryFolder();
  await using service = await startOnSmallDisk(folder.path, "ro");
  if (service === undefined) return;
  const send = await sender(service);
  await service.logged(/embedding cache cannot be written.*EROFS/);
  for (let mark = 0; mark < 5; mark += 1) await answerOf(await send(mark));
  await expectOneWarning(service);
});
