/** Bodies over the limits: refused as soon as that is known, in a way that the client can hear. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expectProblem, postFile, postJson, until } from "../support/client.ts";
import { makeJpeg } from "../support/pictures.ts";
import { connectRaw, headOf, type RawClient } from "../support/raw-client.ts";
import { startService, type TestService, takingNvDinov2 } from "../support/service.ts";

const maxBodyBytes = 2_000_000;
/** So large that base64 JSON may use the whole body. */
const maxImageBytes = 1_400_000;
let service: TestService;
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "imagesvc-large-"));
  await Bun.write(join(folder, "large.bin"), new Uint8Array(100_000_000));
  service = await startService({
    ...takingNvDinov2,
    MAX_BODY_BYTES: String(maxBodyBytes),
    MAX_IMAGE_BYTES: String(maxImageBytes),
    QUEUE_LIMIT: "1",
  });
});

afterAll(async () => {
  await service.stop();
  await rm(folder, { recursive: true });
});

/** Every test must leave the house empty. */
async function expectEmptyHouse(): Promise<void> {
  const jpeg = await makeJpeg();
  await until(async () => {
    const { status } = await postFile(service, jpeg, { query: "?model=clip-ViT-B-32" });
    return status === 200;
  });
  expect(await readdir(service.downloadsDir)).toEqual([`${Bun.SHA256.hash(jpeg, "hex")}.jpg`]);
}

const jsonHead = (headers: Readonly<Record<string, string | number>>) =>
  headOf("/vectorize-image-base64", { "Content-Type": "application/json", ...headers });

/** Writes a chunk of a chunked body. */
function writeChunk(client: RawClient, bytes: number): void {
  client.write(`${bytes.toString(16)}\r\n${"x".repeat(bytes)}\r\n`);
}

test("a Content-Length over the limit is refused before the first byte of the body", async () => {
  const client = await connectRaw(service);
  client.write(jsonHead({ "Content-Length": maxBodyBytes + 1 }));
  const answer = await client.received(/"code":"body-too-large"/);
  expect(answer).toStartWith("HTTP/1.1 413 ");
  expect(answer).toMatch(/\r\nConnection: close\r\n/i);
  client.hangUp();
  await expectEmptyHouse();
});

test("a body of exactly the limit is read", async () => {
  const text = `{"image_base64":"${"A".repeat(1000)}"`;
  const response = await postJson(
    service,
    "/vectorize-image-base64?model=clip-ViT-B-32",
    `${text.padEnd(maxBodyBytes - 1)}}`,
  );
  await expectProblem(response, "unsupported-image");
});

test("a chunked body is refused as soon as the counted bytes pass the limit", async () => {
  const client = await connectRaw(service);
  client.write(jsonHead({ "Transfer-Encoding": "chunked" }));
  writeChunk(client, maxBodyBytes);
  await Bun.sleep(50);
  expect(client.text()).toBe("");
  writeChunk(client, 1);
  expect(await client.received(/"code":"body-too-large"/)).toStartWith("HTTP/1.1 413 ");
  client.hangUp();
  await expectEmptyHouse();
});

test("an image in a form is refused as soon as it passes the limit, while more is promised", async () => {
  const client = await connectRaw(service);
  const type = "multipart/form-data; boundary=x";
  client.write(
    headOf("/vectorize-image-upload", { "Content-Type": type, "Content-Length": 1_900_000 }),
  );
  client.write('--x\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\n\r\n');
  client.write(new Uint8Array(maxImageBytes + 1));
  expect(await client.received(/"code":"body-too-large"/)).toStartWith("HTTP/1.1 413 ");
  client.hangUp();
  await expectEmptyHouse();
});

test("a refused client that goes on sending is heard for a second at most, then cut", async () => {
  const client = await connectRaw(service);
  client.write(jsonHead({ "Transfer-Encoding": "chunked" }));
  client.socket.removeAllListeners("error").on("error", () => {});
  writeChunk(client, maxBodyBytes + 1);
  const timer = setInterval(() => writeChunk(client, 10_000), 5);
  expect(await client.closed()).toMatch(/^HTTP\/1.1 413 .*"code":"body-too-large"/s);
  clearInterval(timer);
  await expectEmptyHouse();
});

test("a refused client that stops sending in time keeps its connection", async () => {
  const client = await connectRaw(service);
  client.write(headOf("/nothing", { "Content-Length": 5 }));
  client.write("hello");
  await client.received(/not-found/);
  client.write("GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n");
  await client.received(/"alive"/);
  client.hangUp();
});

for (const [what, options] of [
  ["with a Content-Length", []],
  ["in chunks", ["-H", "Transfer-Encoding: chunked"]],
  ["without waiting for 100 Continue", ["-H", "Expect:"]],
] as const) {
  test(`curl that sends 100 MB ${what} reads the 413`, async () => {
    for (const body of [
      ["-F", `file=@${join(folder, "large.bin")}`, `${service.url}vectorize-image-upload`],
      [
        "-H",
        "Content-Type: application/json",
        "--data-binary",
        `@${join(folder, "large.bin")}`,
        `${service.url}vectorize-image`,
      ],
    ]) {
      const curl = Bun.spawn(["curl", "-sS", "-w", "\n%{http_code}", ...options, ...body], {
        stderr: "pipe",
      });
      const [output, errors] = await Promise.all([
        new Response(curl.stdout).text(),
        new Response(curl.stderr).text(),
      ]);
      expect({ output, errors, exit: await curl.exited }).toMatchObject({ errors: "", exit: 0 });
      const [answer = "", status] = output.split("\n");
      expect(status).toBe("413");
      expect(JSON.parse(answer)).toMatchObject({ code: "body-too-large" });
    }
    await expectEmptyHouse();
  });
}
