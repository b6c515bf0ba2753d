/** Disks that are full or read-only, under a service that runs. */
import { beforeAll, expect, test } from "bun:test";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { expectProblem, postFile, postUrlencoded, send } from "../support/client.ts";
import { respond, startOrigin } from "../support/origin.ts";
import { type Bytes, makeJpeg, makePng } from "../support/pictures.ts";
import { startProcess } from "../support/process.ts";
import { mountSmallDisk } from "../support/small-disk.ts";
import { repositoryRoot } from "../support/source-files.ts";
import { temporaryFolder } from "../support/tiny-clip.ts";

const mib = 1024 ** 2;
const clip = "?model=clip-ViT-B-32";

let jpeg: Bytes;
/** Large enough to go to disk as it arrives. */
let largePng: Bytes;

beforeAll(async () => {
  jpeg = await makeJpeg();
  largePng = await makePng({ width: 1000, height: 1000, kind: "noise" });
});

/** A service that keeps its images there, and a host of images. */
async function startOn(directory: string, environment: Readonly<Record<string, string>> = {}) {
  const origin = await startOrigin({ "/picture": respond({ body: jpeg }) });
  const service = await startProcess({
    DOWNLOADS_DIR: directory,
    FETCH_ALLOW: "127.0.0.1",
    ...environment,
  });
  await service.logged(/"model ready"/);
  const place = { url: await service.url() };
  return {
    service,
    upload: (bytes: Bytes) => postFile(place, bytes, { query: clip }),
    embedWithoutKeeping: () =>
      postUrlencoded(place, `/upload${clip}`, { imageUrl: origin.url("/picture") }),
    async [Symbol.asyncDispose]() {
      await service[Symbol.asyncDispose]();
      await origin[Symbol.asyncDispose]();
    },
  };
}

test("a disk that is full, or becomes full in the middle of a file, refuses what would be kept, and only that", async () => {
  await using folder = await temporaryFolder();
  await using disk = await mountSmallDisk(folder.path, 16 * mib);
  if (disk === undefined) return;
  const directory = join(disk.path, "downloads");
  await using place = await startOn(directory);
  expect(largePng.length).toBeGreaterThan(2 * mib);
  for (const leavingBytes of [0, mib]) {
    await disk.fill(leavingBytes);
    await expectProblem(await place.upload(largePng), "storage-full");
    if (leavingBytes === 0) await expectProblem(await place.upload(jpeg), "storage-full");
    expect((await place.embedWithoutKeeping()).status).toBe(200);
    expect(await readdir(directory)).toEqual([]);
    await disk.clear();
  }
  expect((await place.upload(largePng)).status).toBe(200);
  expect((await place.upload(jpeg)).status).toBe(200);
  expect(await readdir(directory)).toHaveLength(2);
  expect(place.service.log()).toContain('"cause":"ENOSPC: no space left on device');
});

test("a disk with less than must stay free refuses what would be kept, and the start says so once", async () => {
  await using folder = await temporaryFolder();
  await using disk = await mountSmallDisk(folder.path, 32 * mib);
  if (disk === undefined) return;
  const directory = join(disk.path, "downloads");
  const warning = /"level":"warn","message":"less than DOWNLOADS_MIN_FREE_BYTES is free/g;
  const environment = { DOWNLOADS_MIN_FREE_BYTES: String(16 * mib) };
  await disk.fill(8 * mib);
  await using place = await startOn(directory, environment);
  expect(place.service.log().match(warning)).toHaveLength(1);
  for (let request = 0; request < 3; request += 1) {
    await expectProblem(await place.upload(jpeg), "storage-full");
  }
  expect((await place.embedWithoutKeeping()).status).toBe(200);
  expect(await readdir(directory)).toEqual([]);
  await disk.clear();
  expect((await place.upload(jpeg)).status).toBe(200);
  expect(place.service.log().match(warning)).toHaveLength(1);
  await using next = await startOn(directory, environment);
  expect(next.service.log()).not.toMatch(warning);
});

test("a disk that becomes read-only refuses what would be kept, until it can be written again", async () => {
  await using folder = await temporaryFolder();
  await using disk = await mountSmallDisk(folder.path, 16 * mib);
  if (disk === undefined) return;
  const directory = join(disk.path, "downloads");
  await using place = await startOn(directory);
  disk.remount("ro");
  await expectProblem(await place.upload(jpeg), "storage-full");
  await expectProblem(await place.upload(largePng), "storage-full");
  expect((await place.embedWithoutKeeping()).status).toBe(200);
  expect(place.service.log()).toContain('"cause":"EROFS: read-only file system');
  disk.remount("rw");
  expect((await place.upload(jpeg)).status).toBe(200);
  expect(await readdir(directory)).toHaveLength(1);
});

test("a log that nobody can write any more costs lines, not answers", async () => {
  await using folder = await temporaryFolder();
  await using disk = await mountSmallDisk(folder.path, mib);
  if (disk === undefined) return;
  await using first = await startProcess();
  const { port } = await first.url();
  first.signal("SIGTERM");
  await first.exited;
  const file = join(disk.path, "log");
  const main = join(repositoryRoot, "src/main.ts");
  const script = 'exec "$@" 2>>"$LOG_FILE"';
  await using service = await startProcess(
    { PORT: port, LOG_FILE: file },
    { command: ["sh", "-c", script, "sh", process.execPath, main, "serve"] },
  );
  const place = { url: new URL(`http://127.0.0.1:${port}/`) };
  const answers = async () => await postFile(place, jpeg, { query: clip }).catch(() => undefined);
  while ((await answers())?.status !== 200) await Bun.sleep(50);
  await disk.fill();
  const { size } = Bun.file(file);
  expect((await answers())?.status).toBe(200);
  for (let request = 0; request < 50; request += 1) {
    expect((await send(place, "/docs")).status).toBe(200);
  }
  expect(Bun.file(file).size - size).toBeLessThan(4096);
  await disk.clear();
  expect((await answers())?.status).toBe(200);
  expect((await Bun.file(file).text()).trim().split("\n").at(-1)).toContain('"status":200');
  service.signal("SIGTERM");
  expect(await service.exited).toBe(0);
});
