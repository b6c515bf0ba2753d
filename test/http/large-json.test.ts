/** JSON bodies that are parsed in a thread of their own: to clients they are like any other. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { limits } from "../../src/limits.ts";
import {
  answerOf,
  base64Of,
  expectProblem,
  postFile,
  postJson,
  send,
  until,
} from "../support/client.ts";
import { type Bytes, makeJpeg, makePng } from "../support/pictures.ts";
import { connectRaw, headOf } from "../support/raw-client.ts";
import { startService, type TestService } from "../support/service.ts";
import { temporaryFolder } from "../support/tiny-clip.ts";

let service: TestService;
/** As base64 larger than what the main thread parses. */
let png: Bytes;

beforeAll(async () => {
  png = await makePng({ width: 400, height: 400, kind: "noise" });
  service = await startService();
});

afterAll(() => service.stop());

const query = "?model=clip-ViT-B-32";
const path = `/vectorize-image-base64${query}`;
const padding = " ".repeat(limits.maxJsonOnMainThreadBytes);

test("an image in a large body has the vector that its upload has", async () => {
  const image_base64 = base64Of(png);
  expect(image_base64.length).toBeGreaterThan(limits.maxJsonOnMainThreadBytes);
  const body = { image_base64, filename: "a\ud83d\ude00.png" };
  const inJson = await answerOf(await postJson(service, path, body));
  const uploaded = await answerOf(await postFile(service, png, { query }));
  expect(inJson.vector).toEqual(uploaded.vector);
  expect(inJson.saved_as).toBe(uploaded.saved_as);
  expect(inJson.original_filename).toBe("a\ud83d\ude00.png");
});

for (const [what, base64] of [
  ["wrapped", () => base64Of(png).replace(/.{76}/g, "$&\r\n")],
  ["in a data: URI", () => `data:image/png;base64,${base64Of(png)}`],
] as const) {
  test(`base64 ${what} is taken in a large body too`, async () => {
    const response = await postJson(service, path, `{"image_base64":"${base64()}"}`);
    expect((await answerOf(response)).saved_as).toContain(Bun.SHA256.hash(png, "hex"));
  });
}

test("images and texts in a large body are compared as in small ones", async () => {
  const texts = ["a cat", "noise"];
  const body = { image_base64: base64Of(png), texts };
  const { results } = JSON.parse(await (await postJson(service, "/similarity", body)).text());
  const jpeg = await makeJpeg();
  const padded = `{"image_base64":"${base64Of(jpeg)}","texts":["a cat"]${padding}}`;
  expect(results).toMatchObject(texts.map((text) => ({ text })));
  const small = { image_base64: base64Of(jpeg), texts: ["a cat"] };
  expect(await (await postJson(service, "/similarity", padded)).json()).toEqual(
    await (await postJson(service, "/similarity", small)).json(),
  );
});

for (const [what, text] of [
  ["no JSON", "{image_base64: 1}"],
  ["cut short", `{"image_base64": "AA`],
  ["a list", "[]"],
  ["without the image", "{}"],
  ["a number for an image", `{"image_base64": 5}`],
  ["an object for an image", `{"image_base64": {"byteLength": 3}}`],
  ["a list of bytes for an image", `{"image_base64": [1, 2, 3]}`],
  ["no image for an image", `{"image_base64": null}`],
  ["a number for a name", `{"image_base64": "AAAA", "filename": 5}`],
  ["broken base64", `{"image_base64": "AA*A"}`],
  ["empty base64", `{"image_base64": ""}`],
  ["bytes that are no image", `{"image_base64": "AAAA"}`],
  ["nested too deep", `{"a": ${"[".repeat(99)}${"]".repeat(99)}}`],
] as const) {
  test(`${what}: a large body gets the problem that a small one gets`, async () => {
    const [small, large] = await Promise.all(
      [text, text + padding].map(async (body) => {
        const answer = await (await postJson(service, path, body)).text();
        const { request_id, ...problem } = JSON.parse(answer);
        return problem;
      }),
    );
    expect(small).toHaveProperty("code");
    expect(large).toEqual(small);
  });
}

test("a large body that is not UTF-8 is refused", async () => {
  const body = new Uint8Array(limits.maxJsonOnMainThreadBytes + 1).fill(0xff);
  const headers = { "Content-Type": "application/json" };
  const response = await send(service, path, { method: "POST", headers, body });
  const { detail } = await expectProblem(response, "malformed-body");
  expect(detail).toContain("not UTF-8");
});

test("a client that leaves while its body is parsed, or waits for that, is waited for no longer", async () => {
  await using folder = await temporaryFolder();
  const at = (name: string) => join(folder.path, name);
  const json = fileURLToPath(new URL("../support/scripted-json-worker.ts", import.meta.url));
  await using slow = await startService({}, { json });
  const post = async (id: string, script: object) => {
    const client = await connectRaw(slow);
    const body = JSON.stringify({ image_base64: base64Of(png), begun: at(id), ...script });
    const headers = { "Content-Type": "application/json", "Content-Length": body.length };
    client.write(headOf(path, { ...headers, "X-Request-Id": id }) + body);
    return client;
  };
  const isLeft = (id: string) =>
    slow.log.some((line) => line.includes(`"request_id":"${id}"`) && line.includes('"left":true'));

  const parsed = await post("parsed", { script: "wait", until: at("go") });
  await until(() => existsSync(at("parsed")));
  const waiting = await post("waiting", {});
  const staying = await post("staying", {});
  // Another request's answer: by now the bodies above have arrived.
  expect((await postFile(slow, png, { query })).status).toBe(200);
  expect((await send(slow, "/livez")).status).toBe(200);
  waiting.hangUp();
  await until(() => isLeft("waiting"));
  parsed.hangUp();
  await until(() => isLeft("parsed"));
  writeFileSync(at("go"), "");
  expect(await staying.received(/"vector":\[[^\]]+\]/)).toStartWith("HTTP/1.1 200 ");
  staying.hangUp();
  expect(existsSync(at("waiting"))).toBe(false);
  expect(slow.log.filter((line) => line.includes('"level":"error"'))).toEqual([]);
});
