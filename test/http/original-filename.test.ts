import { afterAll, beforeAll, expect, test } from "bun:test";
import { readdir } from "node:fs/promises";
import { answerOf, base64Of, postJson } from "../support/client.ts";
import { ascii, type Bytes, concat, makeJpeg } from "../support/pictures.ts";
import { startService, type TestService } from "../support/service.ts";

let service: TestService;
let jpeg: Bytes;

beforeAll(async () => {
  jpeg = await makeJpeg();
  service = await startService();
});

afterAll(() => service.stop());

/** Sends the name in JSON. */
async function viaJson(filename: string): Promise<unknown> {
  const response = await postJson(service, "/vectorize-image-base64?model=clip-ViT-B-32", {
    image_base64: base64Of(jpeg),
    filename,
  });
  return (await answerOf(response)).original_filename;
}

/** Sends a part with exactly this header line. */
async function upload(disposition: string, type?: string): Promise<Response> {
  const typeLine = type === undefined ? "" : `Content-Type: ${type}\r\n`;
  const body = concat(
    new TextEncoder().encode(
      `--xyz\r\nContent-Disposition: form-data; name="file"${disposition}\r\n${typeLine}\r\n`,
    ),
    jpeg,
    ascii("\r\n--xyz--\r\n"),
  );
  return await fetch(new URL("/vectorize-image-upload?model=clip-ViT-B-32", service.url), {
    method: "POST",
    headers: { "Content-Type": "multipart/form-data; boundary=xyz" },
    body,
  });
}

async function viaMultipart(filename: string): Promise<unknown> {
  return (await answerOf(await upload(`; filename="${filename}"`))).original_filename;
}

const names: readonly (readonly [what: string, sent: string, echoed: string])[] = [
  ["a plain name", "image.png", "image.png"],
  ["a name without extension", "image", "image"],
  ["a path upwards", "../../etc/passwd", "../../etc/passwd"],
  ["a Windows path", "C:\\photos\\a.jpg", "C:\\photos\\a.jpg"],
  ["letters of other scripts", "Größe 写真 📷.jpg", "Größe 写真 📷.jpg"],
  ["5,000 characters", "x".repeat(5000), "x".repeat(255)],
  ["300 astral characters", "📷".repeat(300), "📷".repeat(255)],
];

for (const [what, sent, echoed] of names) {
  test(`${what} comes back as sent, at most 255 characters of it, from JSON`, async () => {
    expect(await viaJson(sent)).toBe(echoed);
  });

  test(`${what} comes back as sent, at most 255 characters of it, from a form`, async () => {
    const escaped = sent.replaceAll("\\", "\\\\");
    expect(await viaMultipart(escaped)).toBe(echoed);
  });
}

test("control characters are taken out before the name is cut", async () => {
  expect(await viaJson("a\u0000b\nc\u001bd\u007fe\u0085f.png")).toBe("abcdef.png");
  expect(await viaJson(`${"\u0007".repeat(300)}end`)).toBe("end");
});

test("tabs are taken out of a name from a form", async () => {
  expect(await viaMultipart("a\tb.png")).toBe("ab.png");
});

test("an empty name comes back empty", async () => {
  expect(await viaJson("")).toBe("");
});

test("a part of type application/octet-stream is looked at, not believed", async () => {
  const response = await upload(`; filename="photo.jpg"`, "application/octet-stream");
  expect(response.status).toBe(200);
});

test("a part whose name says something else than its bytes is decoded by its bytes", async () => {
  const response = await upload(`; filename="notes.txt"`, "text/plain");
  expect(await response.json()).toMatchObject({
    saved_as: `${Bun.SHA256.hash(jpeg, "hex")}.jpg`,
  });
});

test("a part without a name, but of type application/octet-stream, is a file", async () => {
  const response = await upload("", "application/octet-stream");
  expect(await response.json()).toMatchObject({ status: "success", original_filename: "" });
});

test("whatever the names were, one file is kept under its digest", async () => {
  await viaJson("../../escape.jpg");
  expect(await readdir(service.downloadsDir)).toEqual([`${Bun.SHA256.hash(jpeg, "hex")}.jpg`]);
});

test("a name that is null is no name", async () => {
  const body = { image_base64: base64Of(jpeg), filename: null };
  const response = await postJson(service, "/vectorize-image-base64?model=clip-ViT-B-32", body);
  expect(response.status).toBe(200);
  expect(await response.json()).not.toContainKey("original_filename");
});
