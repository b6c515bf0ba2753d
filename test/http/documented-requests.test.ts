import { afterAll, beforeAll, expect, test } from "bun:test";
import {
  answerOf,
  base64Of,
  postFile,
  postJson,
  postMultipart,
  postUrlencoded,
  send,
} from "../support/client.ts";
import { type NvidiaFake, startNvidiaFake, vectorOf } from "../support/nvidia-fake.ts";
import { type Origin, respond, startOrigin } from "../support/origin.ts";
import { type Bytes, makeJpeg, makePng } from "../support/pictures.ts";
import { reachingFakes, startService, type TestService } from "../support/service.ts";
import { digitsOf, fewestDigits } from "../support/shortest-decimal.ts";

let service: TestService;
let nvidia: NvidiaFake;
let origin: Origin;
let jpeg: Bytes;

beforeAll(async () => {
  jpeg = await makeJpeg({ kind: "text" });
  nvidia = startNvidiaFake();
  origin = await startOrigin({ "/image.jpg": respond({ body: jpeg }) });
  service = await startService({
    ...reachingFakes(nvidia),
  });
});

afterAll(async () => {
  await service.stop();
  await origin[Symbol.asyncDispose]();
  await nvidia.stop();
});

interface DocumentedRequest {
  readonly path: string;
  readonly send: (query: string) => Promise<Response>;
  readonly defaultModel: "clip" | "nv-dinov2";
  /** Key of the vector. */
  readonly vector: "embedding" | "vector";
  /** Everything else that a 200 has, but `model` and `dimensions`. */
  readonly rest: () => Readonly<Record<string, unknown>>;
}

function saved(): Readonly<Record<string, unknown>> {
  const name = `${Bun.SHA256.hash(jpeg, "hex")}.jpg`;
  return { status: "success", saved_as: name, path: `downloads/${name}` };
}

const documented: readonly DocumentedRequest[] = [
  {
    path: "/upload",
    send: (query) =>
      postUrlencoded(service, `/upload${query}`, { imageUrl: origin.url("/image.jpg") }),
    defaultModel: "clip",
    vector: "embedding",
    rest: () => ({ message: "Image processed successfully" }),
  },
  {
    path: "/vectorize-image",
    send: (query) =>
      postJson(service, `/vectorize-image${query}`, { image_url: origin.url("/image.jpg") }),
    defaultModel: "nv-dinov2",
    vector: "vector",
    rest: () => ({ ...saved(), source_url: origin.url("/image.jpg") }),
  },
  {
    path: "/vectorize-image-base64",
    send: (query) =>
      postJson(service, `/vectorize-image-base64${query}`, {
        image_base64: base64Of(jpeg),
        filename: "photo.jpg",
      }),
    defaultModel: "nv-dinov2",
    vector: "vector",
    rest: () => ({ ...saved(), original_filename: "photo.jpg" }),
  },
  {
    path: "/vectorize-image-upload",
    send: (query) => postFile(service, jpeg, { name: "photo.jpg", query }),
    defaultModel: "nv-dinov2",
    vector: "vector",
    rest: () => ({ ...saved(), original_filename: "photo.jpg" }),
  },
];

const models = {
  clip: { asked: "clip-ViT-B-32", exact: "clip-ViT-B-32@synthetic", dimensions: 512 },
  "nv-dinov2": { asked: "nv-dinov2", exact: "nv-dinov2@fake", dimensions: 1536 },
} as const;

/** The texts of the numbers of an answer's vector. */
function numberTexts(json: string, key: string): readonly string[] {
  const list = new RegExp(`"${key}":\\[([^\\]]*)\\]`).exec(json)?.[1] ?? "";
  return list.split(",");
}

for (const request of documented) {
  for (const [name, model] of Object.entries(models)) {
    test(`${request.path} answers a vector of ${model.asked}, with exactly the documented keys`, async () => {
      const response = await request.send(`?model=${model.asked}`);
      expect(response.status).toBe(200);
      expect(response.headers.get("content-type")).toStartWith("application/json");
      const { [request.vector]: vector, ...rest } = await answerOf(response);
      expect<unknown>(rest).toEqual({
        ...request.rest(),
        model: model.exact,
        dimensions: model.dimensions,
      });
      expect(vector).toHaveLength(model.dimensions);
      expect(vector.every(Number.isFinite)).toBe(true);
    });

    test(`${request.path} prints a vector of ${model.asked} as the shortest decimals of float32`, async () => {
      const text = await (await request.send(`?model=${model.asked}`)).text();
      const numbers = numberTexts(text, request.vector);
      expect(numbers).toHaveLength(model.dimensions);
      for (const number of numbers) {
        const value = Math.fround(Number(number));
        expect(digitsOf(number)).toBe(fewestDigits(value));
      }
    });

    if (name === request.defaultModel) {
      test(`${request.path} asks ${model.asked} when the request names no model`, async () => {
        const answer = await (await request.send("")).json();
        expect(answer).toMatchObject({ model: model.exact, dimensions: model.dimensions });
      });
    }
  }

  test(`${request.path} scales to unit length with normalize=true, and only then`, async () => {
    const raw = (await answerOf(await request.send("?model=clip-ViT-B-32")))[request.vector];
    const scaled = (await answerOf(await request.send("?model=clip-ViT-B-32&normalize=true")))[
      request.vector
    ];
    const norm = Math.hypot(...raw);
    expect(norm).not.toBeCloseTo(1, 3);
    expect(Math.hypot(...scaled)).toBeCloseTo(1, 5);
    scaled.forEach((value, index) => {
      expect(value).toBeCloseTo((raw[index] ?? Number.NaN) / norm, 6);
    });
    const unscaled = await request.send("?model=clip-ViT-B-32&normalize=false");
    expect((await answerOf(unscaled))[request.vector]).toEqual([...raw]);
  });

  test(`${request.path} with a trailing slash is served, not redirected`, async () => {
    const [path = "", query = ""] = ["/", "?model=clip-ViT-B-32"];
    expect((await request.send(`${path}${query}`)).status).toBe(200);
  });

  test(`${request.path} takes the exact id of the loaded model`, async () => {
    const response = await request.send("?model=clip-ViT-B-32%40synthetic");
    expect(response.status).toBe(200);
    expect(await response.json()).toMatchObject({ model: "clip-ViT-B-32@synthetic" });
  });

  test(`${request.path} ignores a query parameter that it does not know`, async () => {
    expect((await request.send("?model=clip-ViT-B-32&utm_source=x")).status).toBe(200);
  });
}

test("the same picture has the same CLIP vector, however it arrives", async () => {
  const vectors = await Promise.all(
    documented.map(async (request) => {
      const response = await request.send("?model=clip-ViT-B-32");
      return (await answerOf(response))[request.vector];
    }),
  );
  for (const vector of vectors) expect(vector).toEqual([...(vectors[0] ?? [])]);
});

test("an NV-DINOv2 vector is what the upstream answered, as float32", async () => {
  const { vector } = await answerOf(await postFile(service, jpeg));
  const sent = /base64,([^"]+)"/.exec(nvidia.requests.at(-1)?.body ?? "")?.[1] ?? "";
  const expected = vectorOf(Uint8Array.fromBase64(sent)).map(Math.fround);
  expect(vector.map(Math.fround)).toEqual(expected);
});

test("/upload takes its field from a multipart form too, as a browser's FormData sends it", async () => {
  const response = await postMultipart(service, "/upload", { imageUrl: origin.url("/image.jpg") });
  expect(response.status).toBe(200);
  expect(await response.json()).toMatchObject({ message: "Image processed successfully" });
});

test("/upload takes the field besides others, a file among them", async () => {
  const response = await postMultipart(service, "/upload", {
    title: "holiday",
    picture: new File([jpeg], "photo.jpg"),
    imageUrl: origin.url("/image.jpg"),
  });
  expect(response.status).toBe(200);
});

test("a field that comes twice counts as it came first, in both kinds of form", async () => {
  const image = encodeURIComponent(origin.url("/image.jpg"));
  const urlencoded = await send(service, "/upload", {
    method: "POST",
    headers: { "Content-Type": "application/x-www-form-urlencoded" },
    body: `imageUrl=${image}&imageUrl=nothing`,
  });
  expect(urlencoded.status).toBe(200);
  const form = new FormData();
  form.append("imageUrl", origin.url("/image.jpg"));
  form.append("imageUrl", "nothing");
  expect((await send(service, "/upload", { method: "POST", body: form })).status).toBe(200);
});

test("a file that comes twice counts as it came first", async () => {
  const form = new FormData();
  form.append("file", new File([jpeg], "first.jpg"));
  form.append("file", new File([await makePng()], "second.png"));
  const response = await send(service, "/vectorize-image-upload?model=clip-ViT-B-32", {
    method: "POST",
    body: form,
  });
  expect(await response.json()).toMatchObject({ original_filename: "first.jpg", ...saved() });
});

for (const contentType of [
  "application/json; charset=utf-8",
  "application/json;charset=UTF-8",
  "Application/JSON",
]) {
  test(`JSON may come as ${contentType}`, async () => {
    const headers = { "Content-Type": contentType };
    const body = { image_base64: base64Of(jpeg) };
    expect((await postJson(service, "/vectorize-image-base64", body, headers)).status).toBe(200);
  });
}

test("a media type with parameters and capitals is a form all the same", async () => {
  const response = await send(service, "/upload", {
    method: "POST",
    headers: { "Content-Type": "Application/X-WWW-Form-Urlencoded; charset=utf-8" },
    body: `imageUrl=${encodeURIComponent(origin.url("/image.jpg"))}`,
  });
  expect(response.status).toBe(200);
});

test("unknown extra fields are ignored in every body", async () => {
  const image_url = origin.url("/image.jpg");
  const extra = { tags: ["a"], nested: { deep: [1, { x: null }] }, __proto__x: 1 };
  const answers = await Promise.all([
    postUrlencoded(service, "/upload", { imageUrl: image_url, other: "x" }),
    postJson(service, "/vectorize-image", { image_url, ...extra }),
    postJson(service, "/vectorize-image-base64", { image_base64: base64Of(jpeg), ...extra }),
    postMultipart(service, "/vectorize-image-upload", {
      note: "hello",
      file: new File([jpeg], "photo.jpg"),
      more: new File([jpeg], "other.jpg"),
    }),
  ]);
  expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200]);
});

for (const [form, encode] of [
  ["bare base64", (text: string) => text],
  ["base64 without padding", (text: string) => text.replace(/=+$/, "")],
  ["base64url", (text: string) => text.replaceAll("+", "-").replaceAll("/", "_")],
  ["a data: URI", (text: string) => `data:image/jpeg;base64,${text}`],
  ["escaped line breaks", (text: string) => text.replace(/.{76}/g, "$&\r\n")],
] as const) {
  test(`/vectorize-image-base64 takes ${form}`, async () => {
    const response = await postJson(service, "/vectorize-image-base64?model=clip-ViT-B-32", {
      image_base64: encode(base64Of(jpeg)),
    });
    expect(response.status).toBe(200);
    expect(await response.json()).toMatchObject(saved());
  });
}

for (const [kind, lineBreak] of [
  ["LF", "\n"],
  ["CR LF", "\r\n"],
] as const) {
  test(`/vectorize-image-base64 takes raw ${kind} inside the JSON string, as GNU base64 wraps`, async () => {
    const wrapped = base64Of(jpeg).replace(/.{76}/g, `$&${lineBreak}`);
    const body = `{${lineBreak}  "image_base64": "${wrapped}${lineBreak}",${lineBreak}  "filename": "image.png"${lineBreak}}`;
    const response = await postJson(service, "/vectorize-image-base64?model=clip-ViT-B-32", body);
    expect(response.status).toBe(200);
    expect(await response.json()).toMatchObject({ ...saved(), original_filename: "image.png" });
  });
}

test("/vectorize-image-base64 without a filename answers without original_filename", async () => {
  const response = await postJson(service, "/vectorize-image-base64?model=clip-ViT-B-32", {
    image_base64: base64Of(jpeg),
  });
  const { vector, ...rest } = await answerOf(response);
  expect<unknown>(rest).toEqual({ ...saved(), model: "clip-ViT-B-32@synthetic", dimensions: 512 });
});

test("source_url is echoed exactly as it was sent", async () => {
  const image_url = `${origin.url("/x/../image.jpg")}#part`;
  const response = await postJson(service, "/vectorize-image?model=clip-ViT-B-32", { image_url });
  expect(await response.json()).toMatchObject({ source_url: image_url });
});
