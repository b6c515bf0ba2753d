/** The OpenAPI document: valid, complete, and true. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { Validator } from "@seriousme/openapi-schema-validator";
import { Ajv2020 } from "ajv/dist/2020.js";
import { type ProblemCode, problems } from "../../src/errors.ts";
import { base64Of, postFile, postJson, postUrlencoded, send } from "../support/client.ts";
import { type NvidiaFake, startNvidiaFake } from "../support/nvidia-fake.ts";
import { type Origin, respond, startOrigin } from "../support/origin.ts";
import { type Bytes, makeJpeg } from "../support/pictures.ts";
import { reachingFakes, startService, type TestService } from "../support/service.ts";

interface Content {
  readonly content?: Readonly<Record<string, { readonly schema: Schema }>>;
}
interface Schema {
  readonly type?: string;
  readonly format?: string;
  readonly required?: readonly string[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly anyOf?: readonly Schema[];
  readonly examples?: readonly unknown[];
  readonly const?: string;
  readonly enum?: readonly string[];
}
interface Operation {
  readonly requestBody?: Content & { readonly required: boolean };
  readonly parameters?: readonly { readonly name: string; readonly in: string }[];
  readonly security?: readonly Readonly<Record<string, readonly string[]>>[];
  readonly responses: Readonly<Record<string, Content>>;
}
interface OpenApi {
  readonly openapi: string;
  readonly components: { readonly securitySchemes: Readonly<Record<string, unknown>> };
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
}

let service: TestService;
let nvidia: NvidiaFake;
let origin: Origin;
let jpeg: Bytes;
let openApi: OpenApi;

beforeAll(async () => {
  jpeg = await makeJpeg();
  nvidia = startNvidiaFake();
  origin = await startOrigin({ "/image.jpg": respond({ body: jpeg }) });
  service = await startService({
    ...reachingFakes(nvidia),
  });
  openApi = JSON.parse(await (await send(service, "/openapi.json")).text());
});

afterAll(async () => {
  await service.stop();
  await origin[Symbol.asyncDispose]();
  await nvidia.stop();
});

function operationOf(path: string, method = "post"): Operation {
  const operation = openApi.paths[path]?.[method];
  if (operation === undefined) throw new Error(`${method} ${path} is not documented`);
  return operation;
}

/** Schema of an answer, by status and media type. */
function answerSchema(path: string, method: string, status: number, mediaType: string): Schema {
  const schema = operationOf(path, method).responses[status]?.content?.[mediaType]?.schema;
  if (schema === undefined) throw new Error(`${path} declares no ${mediaType} for ${status}`);
  return schema;
}

test("/openapi.json is a valid OpenAPI 3.1 document", async () => {
  const response = await send(service, "/openapi.json");
  expect(response.headers.get("content-type")).toBe("application/json");
  const document: OpenApi & Record<string, unknown> = JSON.parse(await response.text());
  expect(document.openapi).toBe("3.1.0");
  expect(await new Validator().validate(document)).toEqual({ valid: true });
});

const everyRequest = [
  "malformed-body",
  "unauthorized",
  "forbidden-origin",
  "body-too-large",
  "unsupported-media-type",
  "validation-failed",
  "unknown-model",
  "rate-limited",
  "internal-error",
  "overloaded",
  "model-unavailable",
  "shutting-down",
  "inference-timeout",
] as const;
const ofImages = ["too-many-pixels", "unsupported-image", "undecodable-image"] as const;
const byAnyModel = [
  ...everyRequest,
  ...ofImages,
  "upstream-error",
  "upstream-unauthorized",
  "upstream-rate-limited",
  "upstream-timeout",
] as const;
const byUrl = ["invalid-image-url", "forbidden-address", "origin-error", "origin-timeout"] as const;

const documented: Readonly<
  Record<
    string,
    {
      readonly mediaTypes: readonly string[];
      readonly codes: readonly ProblemCode[];
      readonly options?: readonly string[];
    }
  >
> = {
  "/upload": {
    mediaTypes: ["application/x-www-form-urlencoded", "multipart/form-data"],
    codes: [...byAnyModel, ...byUrl],
  },
  "/vectorize-image": {
    mediaTypes: ["application/json"],
    codes: [...byAnyModel, ...byUrl, "storage-full"],
  },
  "/vectorize-image-base64": {
    mediaTypes: ["application/json"],
    codes: [...byAnyModel, "invalid-base64", "storage-full"],
  },
  "/vectorize-image-upload": {
    mediaTypes: ["multipart/form-data"],
    codes: [...byAnyModel, "storage-full"],
  },
  "/embed-text": {
    mediaTypes: ["application/json"],
    codes: everyRequest,
    options: ["query model", "query normalize"],
  },
  "/embeddings": {
    mediaTypes: ["application/json"],
    codes: [...byAnyModel, ...byUrl, "invalid-base64"],
    options: ["query normalize", "query thumbnail"],
  },
  "/similarity": {
    mediaTypes: ["application/json"],
    codes: [...everyRequest, ...ofImages, ...byUrl, "invalid-base64"],
    options: ["query model"],
  },
};

test("/v1/embeddings declares every problem that it can meet, under OpenAI's status and code", () => {
  const { responses } = operationOf("/v1/embeddings");
  const declared = Object.entries(responses).flatMap(([status, { content }]) => {
    const error = content?.["application/json"]?.schema.properties?.["error"];
    const code = error?.properties?.["code"];
    const some = code?.const === undefined ? (code?.enum ?? []) : [code.const];
    return some.map((one) => `${status} ${one}`);
  });
  const met: readonly ProblemCode[] = [...byAnyModel, ...byUrl, "invalid-base64"];
  const own = { "unknown-model": "404 model_not_found", unauthorized: "401 invalid_api_key" };
  const expected = met.map((code) => {
    if (code === "unknown-model" || code === "unauthorized") return own[code];
    if (code === "rate-limited") return "429 rate_limit_exceeded";
    const { status } = problems[code];
    return `${[413, 415, 422].includes(status) ? 400 : status} ${code}`;
  });
  expect(declared.sort()).toEqual(expected.sort());
});

const imageOptions = ["query model", "query normalize", "query thumbnail"];

for (const [path, { mediaTypes, codes, options = imageOptions }] of Object.entries(documented)) {
  test(`${path} declares exactly the problems that it can meet, each under its status`, () => {
    const declared = Object.entries(operationOf(path).responses).flatMap(
      ([status, { content }]) => {
        const code = content?.["application/problem+json"]?.schema.properties?.["code"];
        const some = code?.const === undefined ? (code?.enum ?? []) : [code.const];
        return some.map((one) => `${status} ${one}`);
      },
    );
    const expected = codes.map((code) => `${problems[code].status} ${code}`);
    expect(declared.sort()).toEqual(expected.sort());
  });

  test(`${path} declares its body under the media types that it takes`, () => {
    const { requestBody } = operationOf(path);
    expect(requestBody?.required).toBe(true);
    expect(Object.keys(requestBody?.content ?? {})).toEqual([...mediaTypes]);
  });

  test(`${path} declares the query options`, () => {
    const names = operationOf(path).parameters?.map((one) => `${one.in} ${one.name}`);
    expect(names?.sort()).toEqual([...options]);
  });
}

/** What every operation of the document says about keys. */
const operations = () =>
  Object.entries(openApi.paths).flatMap(([path, methods]) =>
    Object.values(methods).map((operation) => ({ path, operation })),
  );

test("a key may be given to every request but those that need none, and its lack is declared", () => {
  for (const { path, operation } of operations()) {
    const isOpen = ["/livez", "/readyz"].includes(path);
    expect([path, operation.security]).toEqual([path, isOpen ? [] : [{}, { bearer: [] }]]);
    expect([path, "401" in operation.responses]).toEqual([path, !isOpen]);
  }
});

test("the key is declared as a bearer token", () => {
  expect(openApi.components.securitySchemes["bearer"]).toMatchObject({
    type: "http",
    scheme: "bearer",
  });
});

test("the uploaded file is a file in the document, not what we make of it", () => {
  const body = operationOf("/vectorize-image-upload").requestBody?.content?.["multipart/form-data"];
  expect(body?.schema.required).toEqual(["file"]);
  expect(body?.schema.properties?.["file"]).toMatchObject({ type: "string", format: "binary" });
});

test("no answer's schema shows how values arrive as text", () => {
  expect(JSON.stringify(openApi)).not.toMatch(/StoredPart|"format":"(boolean|integer|numeric)"/);
});

test("every path of the document is served", async () => {
  for (const [path, operations] of Object.entries(openApi.paths)) {
    // Where no API keys are configured it looks as if it were not there.
    if (path === "/embeddings/{sha256}") continue;
    if (path === "/v1/models/{id}") continue;
    for (const method of Object.keys(operations)) {
      const response = await send(service, path, { method: method.toUpperCase() });
      expect([404, 405]).not.toContain(response.status);
    }
  }
});

test("the example bodies of JSON requests work as they stand", async () => {
  for (const path of [
    "/vectorize-image-base64",
    "/embed-text",
    "/similarity",
    "/embeddings",
    "/v1/embeddings",
  ]) {
    const schema = operationOf(path).requestBody?.content?.["application/json"]?.schema;
    const fields = Object.entries(schema?.properties ?? {});
    const made = Object.fromEntries(fields.map(([name, { examples }]) => [name, examples?.[0]]));
    const response = await postJson(service, path, schema?.examples?.[0] ?? made);
    expect([path, response.status]).toEqual([path, 200]);
  }
});

/** Live requests, and the method of their operation. */
const live: readonly (readonly [
  path: string,
  method: "get" | "post",
  status: number,
  request: () => Promise<Response>,
])[] = [
  [
    "/upload",
    "post",
    200,
    () => postUrlencoded(service, "/upload", { imageUrl: origin.url("/image.jpg") }),
  ],
  [
    "/vectorize-image",
    "post",
    200,
    () => postJson(service, "/vectorize-image", { image_url: origin.url("/image.jpg") }),
  ],
  [
    "/vectorize-image-base64",
    "post",
    200,
    () =>
      postJson(service, "/vectorize-image-base64", {
        image_base64: base64Of(jpeg),
        filename: "a.jpg",
      }),
  ],
  [
    "/vectorize-image-base64",
    "post",
    200,
    () => postJson(service, "/vectorize-image-base64", { image_base64: base64Of(jpeg) }),
  ],
  ["/vectorize-image-upload", "post", 200, () => postFile(service, jpeg)],
  ["/embed-text", "post", 200, () => postJson(service, "/embed-text", { text: "a cat" })],
  ["/embed-text", "post", 200, () => postJson(service, "/embed-text", { text: ["a cat", ""] })],
  ["/embed-text", "post", 422, () => postJson(service, "/embed-text", { text: [5] })],
  [
    "/similarity",
    "post",
    200,
    () => postJson(service, "/similarity", { image_url: origin.url("/image.jpg"), texts: ["a"] }),
  ],
  ["/similarity", "post", 422, () => postJson(service, "/similarity", { texts: ["a"] })],
  [
    "/embeddings",
    "post",
    200,
    () =>
      postJson(service, "/embeddings", {
        image_base64: base64Of(jpeg),
        models: ["clip-ViT-B-32", "bert"],
        report: true,
      }),
  ],
  [
    "/v1/embeddings",
    "post",
    200,
    () =>
      postJson(service, "/v1/embeddings", {
        model: "clip-ViT-B-32",
        input: ["a", { image: "A*" }],
        on_error: "include",
      }),
  ],
  [
    "/v1/embeddings",
    "post",
    404,
    () => postJson(service, "/v1/embeddings", { model: "x", input: "a" }),
  ],
  ["/v1/embeddings", "post", 400, () => postJson(service, "/v1/embeddings", { input: [5] })],
  ["/v1/models", "get", 200, () => send(service, "/v1/models")],
  ["/v1/models/{id}", "get", 200, () => send(service, "/v1/models/nv-dinov2")],
  ["/v1/models/{id}", "get", 404, () => send(service, "/v1/models/x")],
  ["/livez", "get", 200, () => send(service, "/livez")],
  ["/readyz", "get", 200, () => send(service, "/readyz")],
  ["/upload", "post", 415, () => postJson(service, "/upload", {})],
  ["/upload", "post", 422, () => postUrlencoded(service, "/upload", { x: "y" })],
  [
    "/upload",
    "post",
    502,
    () => postUrlencoded(service, "/upload", { imageUrl: origin.url("/missing") }),
  ],
  ["/vectorize-image", "post", 400, () => postJson(service, "/vectorize-image", "{")],
  [
    "/vectorize-image",
    "post",
    403,
    () => postJson(service, "/vectorize-image", {}, { Origin: "https://evil.example.com" }),
  ],
  [
    "/vectorize-image-base64",
    "post",
    400,
    () =>
      postJson(service, "/vectorize-image-base64?model=clip-ViT-B-32", { image_base64: "AAAAA" }),
  ],
  ["/vectorize-image-upload", "post", 422, () => postFile(service, jpeg, { query: "?model=x" })],
];

for (const [path, method, status, request] of live) {
  test(`a live ${status} of ${path} fits its schema in the document`, async () => {
    const response = await request();
    expect(response.status).toBe(status);
    const mediaType = response.headers.get("content-type")?.split(";", 1)[0] ?? "";
    const schema = answerSchema(path, method, status, mediaType);
    const body = await response.json();
    const validate = new Ajv2020({ strict: false, allErrors: true }).compile(schema);
    validate(body);
    expect(validate.errors ?? []).toEqual([]);
    const declared = [schema, ...(schema.anyOf ?? [])].flatMap(({ properties = {} }) =>
      Object.keys(properties),
    );
    expect(declared).toEqual(
      expect.arrayContaining(Object.keys(typeof body === "object" && body !== null ? body : {})),
    );
  });
}
