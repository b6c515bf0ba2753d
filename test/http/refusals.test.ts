import { afterAll, beforeAll, expect, test } from "bun:test";
import { countedBody } from "../../src/http/body.ts";
import {
  base64Of,
  expectProblem,
  postFile,
  postJson,
  postMultipart,
  postUrlencoded,
  send,
} from "../support/client.ts";
import {
  closeMidBody,
  type Origin,
  redirect,
  respond,
  startOrigin,
  staySilent,
} from "../support/origin.ts";
import {
  ascii,
  type Bytes,
  foreignHeads,
  makeBombPng,
  makeJpeg,
  truncate,
} from "../support/pictures.ts";
import { connectRaw, headOf } from "../support/raw-client.ts";
import { startService, type TestService, takingNvDinov2 } from "../support/service.ts";

let service: TestService;
let origin: Origin;
let jpeg: Bytes;

beforeAll(async () => {
  jpeg = await makeJpeg();
  origin = await startOrigin({
    "/image.jpg": respond({ body: jpeg }),
    "/page": respond({ body: "<html>", headers: { "Content-Type": "text/html" } }),
    "/empty": respond(),
    "/silent": staySilent,
    "/cut": closeMidBody,
    "/inside": redirect("http://10.0.0.1/secret"),
    "/large": respond({ body: new Uint8Array(200_000) }),
  });
  service = await startService({
    ...takingNvDinov2,
    FETCH_ALLOW: "127.0.0.1",
    FETCH_TIMEOUT_MS: "500",
    MAX_PIXELS: "1000000",
    MAX_IMAGE_BYTES: "100000",
  });
});

afterAll(async () => {
  await service.stop();
  await origin[Symbol.asyncDispose]();
});

const jsonPaths = [
  "/vectorize-image",
  "/vectorize-image-base64",
  "/embed-text",
  "/similarity",
] as const;
const formPaths = ["/upload", "/vectorize-image-upload"] as const;
const clip = "?model=clip-ViT-B-32";

for (const path of [...jsonPaths, ...formPaths]) {
  test(`${path} refuses text/plain, and says what it takes`, async () => {
    const headers = { "Content-Type": "text/plain" };
    const response = await send(service, path, { method: "POST", headers, body: "hello" });
    const { detail } = await expectProblem(response, "unsupported-media-type");
    expect(detail).toMatch(/text\/plain.*send (application\/json|.*multipart\/form-data)/);
  });

  test(`${path} refuses a body without a Content-Type`, async () => {
    const client = await connectRaw(service);
    client.write(`${headOf(path, { "Content-Length": 2, Connection: "close" })}{}`);
    const answer = await client.closed();
    expect(answer).toStartWith("HTTP/1.1 415 ");
    expect(answer).toContain("no Content-Type");
  });
}

for (const path of jsonPaths) {
  for (const [what, body] of [
    ["cut short", '{"image_url": "http'],
    ["no JSON at all", "image_url=x"],
    ["JSON with a comment", '{"image_url": "x" /* here */}'],
    ["Python's idea of JSON", "{'image_url': None}"],
    ["deeper than any parser goes", "[".repeat(200_000)],
    ["empty", ""],
    ["white space", " \n "],
  ] as const) {
    test(`${path} refuses a body that is ${what} as malformed`, async () => {
      const { detail } = await expectProblem(await postJson(service, path, body), "malformed-body");
      expect(detail).not.toContain("image_url");
    });
  }

  test(`${path} refuses JSON that is not UTF-8`, async () => {
    const body = new Uint8Array([...ascii('{"image_url":"'), 0xff, 0xfe, ...ascii('"}')]);
    const headers = { "Content-Type": "application/json" };
    const response = await send(service, path, { method: "POST", headers, body });
    await expectProblem(response, "malformed-body");
  });

  for (const body of ["[]", '"text"', "null", "5", "true"]) {
    test(`${path} refuses ${body} as a body: it must be an object`, async () => {
      await expectProblem(await postJson(service, path, body), "validation-failed");
    });
  }
}

for (const [path, field, value] of [
  ["/vectorize-image", "image_url", 5],
  ["/vectorize-image", "image_url", null],
  ["/vectorize-image", "image_url", ["http://x.example/"]],
  ["/vectorize-image", "image_url", ""],
  ["/vectorize-image-base64", "image_base64", {}],
  ["/vectorize-image-base64", "image_base64", 5],
] as const) {
  test(`${path} with ${field} ${JSON.stringify(value)} says what is wrong with the field`, async () => {
    const response = await postJson(service, path, { [field]: value });
    const { detail, errors } = await expectProblem(response, "validation-failed");
    expect(errors).toHaveLength(1);
    expect(errors?.[0]?.pointer).toBe(`/${field}`);
    expect(detail).toContain(field);
  });
}

test("a filename of the wrong type is refused", async () => {
  const body = { image_base64: base64Of(jpeg), filename: 5 };
  const response = await postJson(service, "/vectorize-image-base64", body);
  const { errors } = await expectProblem(response, "validation-failed");
  expect(errors).toEqual([{ pointer: "/filename", message: "expected string or null" }]);
});

for (const [path, field, request] of [
  ["/upload", "imageUrl", () => postUrlencoded(service, "/upload", { url: "x" })],
  ["/upload", "imageUrl", () => postMultipart(service, "/upload", { url: "x" })],
  ["/upload", "imageUrl", () => postUrlencoded(service, "/upload", { imageurl: "x" })],
  ["/vectorize-image", "image_url", () => postJson(service, "/vectorize-image", { imageUrl: "x" })],
  [
    "/vectorize-image-base64",
    "image_base64",
    () => postJson(service, "/vectorize-image-base64", { filename: "x" }),
  ],
  [
    "/vectorize-image-upload",
    "file",
    () =>
      postMultipart(service, "/vectorize-image-upload", { image: new File([jpeg], "photo.jpg") }),
  ],
] as const) {
  test(`${path} without its field names ${field} as missing`, async () => {
    const { errors } = await expectProblem(await request(), "validation-failed");
    expect(errors).toEqual([{ pointer: `/${field}`, message: "it is missing" }]);
  });
}

test("a text field in the file's place is refused as not being a file", async () => {
  const response = await postMultipart(service, "/vectorize-image-upload", { file: "hello" });
  const { errors } = await expectProblem(response, "validation-failed");
  expect(errors).toEqual([{ pointer: "/file", message: "expected a file" }]);
});

for (const value of ["1", "", "yes", "TRUE"]) {
  test(`normalize=${value} is refused, and the answer says what it may be`, async () => {
    const response = await postFile(service, jpeg, { query: `${clip}&normalize=${value}` });
    const { errors } = await expectProblem(response, "validation-failed");
    expect(errors).toEqual([{ pointer: "/normalize", message: "expected true or false" }]);
  });
}

for (const model of [
  "x",
  "",
  "clip-ViT-B-32@int8",
  "clip-vit-b-32",
  "nv-dinov2@fake",
  "%E0%A4%A",
]) {
  test(`the model "${model}" is unknown, and the answer names those that are served`, async () => {
    const response = await postFile(service, jpeg, { query: `?model=${model}` });
    const { detail } = await expectProblem(response, "unknown-model");
    expect(detail).toContain("clip-ViT-B-32@synthetic");
    expect(detail).toContain("nv-dinov2");
  });
}

for (const [what, contentType, body] of [
  ["no boundary", "multipart/form-data", "--x\r\n\r\n--x--"],
  ["an empty boundary", "multipart/form-data; boundary=", "--x\r\n\r\n--x--"],
  ["another boundary", "multipart/form-data; boundary=y", "--x\r\n\r\n--x--\r\n"],
  ["no closing boundary", "multipart/form-data; boundary=x", "--x\r\n"],
  ["nothing in it", "multipart/form-data; boundary=x", ""],
  [
    "a part that is cut in its head",
    "multipart/form-data; boundary=x",
    "--x\r\nContent-Disposition: form-da",
  ],
  [
    "a part that is cut in its bytes",
    "multipart/form-data; boundary=x",
    '--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nabc',
  ],
  [
    "a field that is cut",
    "multipart/form-data; boundary=x",
    '--x\r\nContent-Disposition: form-data; name="imageUrl"\r\n\r\nhttp',
  ],
] as const) {
  for (const path of formPaths) {
    test(`${path} refuses a form with ${what} as malformed, at once`, async () => {
      const headers = { "Content-Type": contentType };
      const response = await send(service, path, { method: "POST", headers, body });
      await expectProblem(response, "malformed-body");
    });
  }
}

test("a form with a hundred parts is refused", async () => {
  const parts = Object.fromEntries(Array.from({ length: 100 }, (_, index) => [`f${index}`, "x"]));
  await expectProblem(await postMultipart(service, "/upload", parts), "malformed-body");
});

test("a form field that never ends is refused", async () => {
  const response = await postMultipart(service, "/upload", { imageUrl: "x".repeat(70_000) });
  await expectProblem(response, "body-too-large");
});

for (const [what, text] of [
  ["other characters", "not base64!"],
  ["an impossible length", "AAAAA"],
  ["nothing", ""],
  ["a data: URI without base64", "data:image/png,hello"],
] as const) {
  test(`an image_base64 of ${what} is refused`, async () => {
    const response = await postJson(service, "/vectorize-image-base64", { image_base64: text });
    await expectProblem(response, "invalid-base64");
  });
}

for (const [what, url, code] of [
  ["a relative URL", "/image.jpg", "invalid-image-url"],
  ["a file: URL", "file:///etc/passwd", "invalid-image-url"],
  ["a data: URL", "data:image/png;base64,AAAA", "invalid-image-url"],
  ["a URL with a password", "http://user:secret@x.example/a.jpg", "invalid-image-url"],
  ["a private address", "http://192.168.0.1/a.jpg", "forbidden-address"],
  ["the cloud's metadata", "http://169.254.169.254/latest/", "forbidden-address"],
  ["IPv6 loopback", "http://[::1]/", "forbidden-address"],
] as const) {
  test(`${what} as image URL is refused as ${code}`, async () => {
    const { detail } = await expectProblem(
      await postUrlencoded(service, "/upload", { imageUrl: url }),
      code,
    );
    expect(detail).not.toContain("secret");
  });
}

for (const [path, code, originStatus] of [
  ["/missing", "origin-error", 404],
  ["/cut", "origin-error", undefined],
  ["/silent", "origin-timeout", undefined],
  ["/inside", "forbidden-address", undefined],
  ["/page", "unsupported-image", undefined],
  ["/empty", "unsupported-image", undefined],
  ["/large", "body-too-large", undefined],
] as const) {
  test(`an image URL that leads to ${path} is answered with ${code}`, async () => {
    const requests = [
      postUrlencoded(service, "/upload", { imageUrl: origin.url(path) }),
      postJson(service, `/vectorize-image${clip}`, { image_url: origin.url(path) }),
    ];
    for (const response of await Promise.all(requests)) {
      const { origin_status } = await expectProblem(response, code);
      expect(origin_status).toBe(originStatus);
    }
  });
}

for (const [found, bytes] of Object.entries(foreignHeads)) {
  test(`${found} is refused by name`, async () => {
    const response = await postFile(service, bytes, { name: "photo.jpg", query: clip });
    const { detail } = await expectProblem(response, "unsupported-image");
    expect(detail).toContain(found);
  });
}

test("an empty file is refused as such", async () => {
  const response = await postFile(service, new Uint8Array(), { query: clip });
  expect((await expectProblem(response, "unsupported-image")).detail).toContain("empty");
});

test("an image that is cut short is undecodable", async () => {
  const response = await postFile(service, truncate(jpeg, 60), { query: clip });
  await expectProblem(response, "undecodable-image");
});

test("an image with too many pixels is refused by its header, with its size", async () => {
  const bomb = makeBombPng({ width: 20_000, height: 20_000 });
  const response = await postFile(service, bomb, { query: clip });
  const { detail } = await expectProblem(response, "too-many-pixels");
  expect(detail).toContain("20000×20000");
});

test("an image of more bytes than MAX_IMAGE_BYTES is refused, however it comes", async () => {
  const bytes = new Uint8Array(100_001);
  await expectProblem(await postFile(service, bytes, { query: clip }), "body-too-large");
  const body = { image_base64: base64Of(bytes) };
  const viaJson = await postJson(service, `/vectorize-image-base64${clip}`, body);
  await expectProblem(viaJson, "body-too-large");
});

test("an image of exactly MAX_IMAGE_BYTES is taken", async () => {
  const bytes = new Uint8Array(100_000);
  bytes.set(jpeg);
  expect((await postFile(service, bytes, { query: clip })).status).toBe(200);
});

for (const path of [...jsonPaths, ...formPaths]) {
  for (const method of ["GET", "PUT", "DELETE", "PATCH"]) {
    test(`${method} ${path} is a 405 that allows POST`, async () => {
      const response = await send(service, path, { method });
      expect(response.headers.get("allow")).toBe("POST, OPTIONS");
      const { detail } = await expectProblem(response, "method-not-allowed");
      expect(detail).toContain(method);
    });
  }
}

for (const path of ["/", "/docs", "/livez", "/readyz", "/openapi.json", "/problems/overloaded"]) {
  test(`POST ${path} is a 405 that allows GET and HEAD`, async () => {
    const response = await send(service, path, { method: "POST", body: "x" });
    expect(response.headers.get("allow")).toBe("GET, HEAD, OPTIONS");
    await expectProblem(response, "method-not-allowed");
  });
}

for (const path of ["/nothing", "/upload/more", "/docs/nothing", "/%2e%2e/etc/passwd"]) {
  test(`${path} is a 404`, async () => {
    await expectProblem(await send(service, path), "not-found");
    await expectProblem(await send(service, path, { method: "POST", body: "x" }), "not-found");
  });
}

test("a 405 to HEAD has the headers of the GET and no body", async () => {
  const response = await send(service, "/upload", { method: "HEAD" });
  expect(response.status).toBe(405);
  expect(response.headers.get("allow")).toBe("POST, OPTIONS");
  expect(await response.text()).toBe("");
});

for (const [what, path, body] of [
  ["brackets", "/vectorize-image-base64", "[".repeat(100_000)],
  ["empty objects", "/vectorize-image-base64", `[${"{},".repeat(20_000)}{}]`],
  ["keys", "/vectorize-image", `{${Array.from({ length: 11_000 }, (_, i) => `"${i}":0`)}}`],
] as const) {
  test(`JSON with too many ${what} is refused before anybody parses it`, async () => {
    const { detail } = await expectProblem(await postJson(service, path, body), "malformed-body");
    expect(detail).toContain("10000 values");
  });
}

test("a body that brings a URL may not be as large as one that brings an image", async () => {
  const image_url = origin.url("/image.jpg");
  const padding = "x".repeat(300_000);
  const json = postJson(service, "/vectorize-image", { image_url, padding });
  await expectProblem(await json, "body-too-large");
  const form = postUrlencoded(service, "/upload", { imageUrl: image_url, padding });
  await expectProblem(await form, "body-too-large");
});

test("a compressed body is refused, and the client is told to send it plain", async () => {
  const headers = { "Content-Type": "application/json", "Content-Encoding": "gzip" };
  const body = Bun.gzipSync(ascii('{"image_url": "x"}'));
  const response = await send(service, "/vectorize-image", { method: "POST", headers, body });
  const { detail } = await expectProblem(response, "unsupported-media-type");
  expect(detail).toContain("uncompressed");
});

test("a body that falls silent is a malformed body", async () => {
  const body = new ReadableStream<Uint8Array>({
    start: (controller) => controller.enqueue(ascii("{")),
  });
  const request = new Request("http://imagesvc/", { method: "POST", body });
  const reading = Array.fromAsync(countedBody(request, 100, undefined, 10));
  const [outcome] = await Promise.allSettled([reading]);
  expect(outcome).toMatchObject({ status: "rejected", reason: { code: "malformed-body" } });
});

test("the JSON around an image may not be much larger than the largest image", async () => {
  const body = { image_base64: base64Of(jpeg), filename: "n".repeat(300_000) };
  await expectProblem(await postJson(service, "/vectorize-image-base64", body), "body-too-large");
});
