/** A stop in the middle of a load; an upgrade in the middle of one is in `test/process/takeover.test.ts`. */
import { expect, test } from "bun:test";
import { readdir } from "node:fs/promises";
import { makePng } from "../support/pictures.ts";
import { startProcess } from "../support/process.ts";
import { getRequest, streamRequests, uploadRequest } from "../support/stream-of-requests.ts";

test("SIGTERM under load: every request that was taken is answered, and the rest is told or never was", async () => {
  await using service = await startProcess();
  const url = await service.url();
  await service.logged(/"model ready"/);
  const upload = uploadRequest("/vectorize-image-upload?model=clip-ViT-B-32", await makePng());
  const get = getRequest("/docs");
  const clients = [upload, upload, upload, get].flatMap((request) => [
    { request, keepsConnection: true },
    { request, keepsConnection: false },
  ]);
  const stream = streamRequests(url, clients);
  while (stream.answered() < 50) await Bun.sleep(5);
  service.signal("SIGTERM");
  const code = await service.exited;
  const { answered, failures } = await stream.stop();
  expect(code).toBe(0);
  // Each line of the log with a 200 is one that a client has, whole.
  const served = service.log().match(/"request_id":"stream-[^}]*"status":200/g) ?? [];
  expect(served.length).toBe(answered);
  const unexpected = failures.filter(
    (failure) => !/ECONNREFUSED|ECONNRESET after 0|closed after 0 |HTTP\/1\.1 503 /.test(failure),
  );
  expect(unexpected.slice(0, 3)).toEqual([]);
  expect(service.log()).not.toContain('"level":"error"');
  const kept = await readdir(service.downloadsDir);
  expect(kept.filter((name) => name.startsWith("."))).toEqual([]);
});
