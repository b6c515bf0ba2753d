/** kill −9 at random moments, and the kernel's own: what has a final name is whole, and the rest is swept. */
import { expect, test } from "bun:test";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { createDownloads } from "../../src/store/downloads.ts";
import { answerOf, postFile, postJson } from "../support/client.ts";
import { limitMemory } from "../support/memory-limit.ts";
import { type Bytes, concat, makePng } from "../support/pictures.ts";
import { startProcess } from "../support/process.ts";
import { connectRaw } from "../support/raw-client.ts";
import { uploadRequest } from "../support/stream-of-requests.ts";
import { temporaryFolder } from "../support/tiny-clip.ts";

const keeping = fileURLToPath(new URL("../support/keeping-process.ts", import.meta.url));
const main = join(import.meta.dir, "../../src/main.ts");
const clip = "?model=clip-ViT-B-32";

/** @returns names in a folder; each final one must name its bytes. */
async function expectWhole(directory: string): Promise<readonly string[]> {
  const names = await readdir(directory);
  for (const name of names.filter((one) => !one.startsWith(".incoming-"))) {
    const bytes = await readFile(join(directory, name));
    expect(name).toBe(`${Bun.SHA256.hash(bytes, "hex")}.png`);
  }
  return names;
}

test("whenever a process that keeps images is killed, every kept one is whole, and the next start sweeps", async () => {
  await using folder = await temporaryFolder();
  let kept = 0;
  let leftBehind = 0;
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 0, max: 60_000 }), async (afterMicros) => {
      await using child = Bun.spawn([process.execPath, keeping, folder.path], { stdout: "pipe" });
      await child.stdout.getReader().read();
      await Bun.sleep(afterMicros / 1000);
      child.kill("SIGKILL");
      await child.exited;
      const names = await expectWhole(folder.path);
      leftBehind += names.filter((name) => name.startsWith(".incoming-")).length;
      await createDownloads({ directory: folder.path, minFreeBytes: 0 }).prepare();
      const swept = await expectWhole(folder.path);
      expect(swept.filter((name) => name.startsWith("."))).toEqual([]);
      kept = swept.length;
    }),
    { numRuns: 25, endOnFailure: true },
  );
  // Else the kills met nothing.
  expect(kept).toBeGreaterThan(25);
  expect(leftBehind).toBeGreaterThan(0);
});

test("a service killed while uploads arrive leaves nothing that its next start does not sweep", async () => {
  const png = await makePng({ width: 700, height: 700, kind: "noise" });
  await using folder = await temporaryFolder();
  const environment = { DOWNLOADS_DIR: folder.path };
  const variant = (index: number): Bytes => concat(png, Uint8Array.of(index));
  {
    await using service = await startProcess(environment);
    await service.logged(/"model ready"/);
    const url = await service.url();
    await answerOf(await postFile({ url }, variant(0), { query: clip }));
    for (let index = 1; index < 6; index += 1) {
      const client = await connectRaw({ url });
      client.socket.on("error", () => {});
      const request = uploadRequest(`/vectorize-image-upload${clip}`, variant(index))("killed");
      client.write(request.subarray(0, 0.9 * request.length));
    }
    while ((await readdir(folder.path)).length < 6) await Bun.sleep(5);
    service.signal("SIGKILL");
    await service.exited;
  }
  expect((await expectWhole(folder.path)).length).toBe(6);
  await using next = await startProcess(environment);
  await next.url();
  const [only = ""] = await expectWhole(folder.path);
  expect(await readdir(folder.path)).toEqual([only]);
  expect(only).toStartWith(Bun.SHA256.hash(variant(0), "hex"));
});

test("a service that the kernel ends for want of memory is ended as by kill −9, and its next start serves", async () => {
  await using memory = await limitMemory();
  if (memory === undefined) return;
  const png = await makePng({ width: 2000, height: 2000, kind: "noise" });
  await using folder = await temporaryFolder();
  const environment = { DOWNLOADS_DIR: folder.path };
  {
    const command = memory.within([process.execPath, main, "serve"]);
    await using service = await startProcess(environment, { command });
    await service.logged(/"model ready"/);
    const url = await service.url();
    await answerOf(await postFile({ url }, png, { query: clip }));
    const half = await connectRaw({ url });
    half.socket.on("error", () => {});
    const request = uploadRequest(`/vectorize-image-upload${clip}`, concat(png, png))("killed");
    half.write(request.subarray(0, 0.9 * request.length));
    while ((await readdir(folder.path)).length < 2) await Bun.sleep(5);
    await memory.leave(32 * 1024 ** 2);
    const body = { image_base64: png.toBase64() };
    const answers = Array.from({ length: 8 }, () =>
      postJson({ url }, `/vectorize-image-base64${clip}`, body),
    );
    const settled = await Promise.allSettled(answers);
    expect(settled.map(({ status }) => status)).toEqual(settled.map(() => "rejected"));
    expect(await service.exited).toBe(137);
  }
  expect(await memory.killed()).toBeGreaterThan(0);
  expect((await expectWhole(folder.path)).length).toBeGreaterThan(1);
  await using next = await startProcess(environment);
  await next.logged(/"model ready"/);
  expect(await expectWhole(folder.path)).toHaveLength(1);
  const url = await next.url();
  await answerOf(await postFile({ url }, png, { query: clip }));
});

test("a start in another container that shares the folder leaves the uploads of this one", async () => {
  const png = await makePng({ width: 700, height: 700, kind: "noise" });
  await using service = await startProcess();
  await service.logged(/"model ready"/);
  const url = await service.url();
  const client = await connectRaw({ url });
  const request = uploadRequest(`/vectorize-image-upload${clip}`, png)("slow");
  const half = request.length / 2;
  client.write(request.subarray(0, half));
  while ((await readdir(service.downloadsDir)).length === 0) await Bun.sleep(5);
  // Where this process has another number, or none.
  const within = ["unshare", "--map-root-user", "--pid", "--fork", "--kill-child"];
  await using other = await startProcess(
    { DOWNLOADS_DIR: service.downloadsDir },
    { command: [...within, process.execPath, main, "serve"] },
  );
  await other.url();
  client.write(request.subarray(half));
  await client.received(/"status":"ok"|"saved_as"/);
  expect(await expectWhole(service.downloadsDir)).toHaveLength(1);
});
