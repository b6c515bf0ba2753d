/** The host's name server is down, or takes questions and never answers. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { join } from "node:path";
import { expectProblem, postFile, postUrlencoded, until } from "../support/client.ts";
import { isRoot, withMounts } from "../support/executable.ts";
import { leftOut } from "../support/left-out.ts";
import { type Bytes, makeJpeg } from "../support/pictures.ts";
import { startProcess } from "../support/process.ts";
import { repositoryRoot } from "../support/source-files.ts";
import { temporaryFolder } from "../support/tiny-clip.ts";

const clip = "?model=clip-ViT-B-32";
let jpeg: Bytes;
let folder: Awaited<ReturnType<typeof temporaryFolder>>;

beforeAll(async () => {
  jpeg = await makeJpeg();
  folder = await temporaryFolder();
});

afterAll(() => folder[Symbol.asyncDispose]());

/** A service that asks the name server at this address, and nobody else. */
async function startAsking(nameServer: string) {
  const file = join(folder.path, `${nameServer}.conf`);
  await Bun.write(file, `nameserver ${nameServer}\n`);
  const within = withMounts('mount --bind "$1" "$(readlink -f /etc/resolv.conf)"', file);
  const main = join(repositoryRoot, "src/main.ts");
  const service = await startProcess(
    { FETCH_TIMEOUT_MS: "1500" },
    { command: [...within, process.execPath, main, "serve"] },
  );
  await service.logged(/"model ready"/);
  return service;
}

test("a name server that is down is an origin-error, and everything else is served", async () => {
  if (!isRoot) return leftOut("another name server: needs root");
  await using service = await startAsking("127.0.0.77");
  const place = { url: await service.url() };
  const imageUrl = "http://pictures.example/a.jpg";
  const [named, uploaded] = await Promise.all([
    postUrlencoded(place, `/upload${clip}`, { imageUrl }),
    postFile(place, jpeg, { query: clip }),
  ]);
  expect(uploaded.status).toBe(200);
  await expectProblem(named, "origin-error");
  service.signal("SIGTERM");
  expect(await service.exited).toBe(0);
});

test("a name server that is silent is an origin-timeout in time, and everything else is served", async () => {
  if (!isRoot) return leftOut("another name server: needs root");
  const asked: string[] = [];
  const silent = createSocket("udp4", (question) => void asked.push(question.toString("latin1")));
  silent.bind(53, "127.0.0.78");
  await once(silent, "listening");
  try {
    await using service = await startAsking("127.0.0.78");
    const place = { url: await service.url() };
    const urls = Array.from({ length: 20 }, (_, index) => `http://host-${index}.example/a.jpg`);
    const named = urls.map((imageUrl) => postUrlencoded(place, `/upload${clip}`, { imageUrl }));
    await until(() => asked.length > 0);
    for (let round = 0; round < 3; round += 1) {
      expect((await postFile(place, jpeg, { query: clip })).status).toBe(200);
    }
    for (const response of await Promise.all(named)) {
      await expectProblem(response, "origin-timeout");
    }
    // Look-ups that cannot be called off do not hold the end.
    service.signal("SIGTERM");
    expect(await service.exited).toBe(0);
  } finally {
    silent.close();
  }
});
