/** Whatever the client sends and reads stands in the service's own document. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { Ajv2020 } from "ajv/dist/2020.js";
import { problems, type ProblemCode as ServiceCode } from "../../src/errors.ts";
import { type ProblemCode as ClientCode, createClient } from "../../src/web/client.ts";
import { send } from "../support/client.ts";
import { startService, type TestService } from "../support/service.ts";

interface Schema {
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly items?: Schema;
  readonly anyOf?: readonly Schema[];
  readonly required?: readonly string[];
}
interface Content {
  readonly content?: Readonly<Record<string, { readonly schema: Schema }>>;
}
interface Operation {
  readonly requestBody?: Content;
  readonly parameters?: readonly { readonly name: string; readonly in: string }[];
  readonly responses: Readonly<Record<string, Content>>;
}
interface OpenApi {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
}

let service: TestService;
let openApi: OpenApi;

beforeAll(async () => {
  // No request here needs a model.
  service = await startService({ CLIP_WEIGHTS: "openai" });
  const text = await (await send(service, "/openapi.json")).text();
  // A word of OpenAPI 3.0 beside an alternative that says the same, which Ajv does not take.
  openApi = JSON.parse(text, (name, value) => (name === "nullable" ? undefined : value));
});

afterAll(() => service.stop());

/** What the client sends for a call, of which the answer is beside the point. */
async function sentBy(call: (client: ReturnType<typeof createClient>) => Promise<unknown>) {
  let sent: Request | undefined;
  const client = createClient({
    baseUrl: "http://imagesvc",
    fetch: async (url, init) => {
      sent = new Request(url, init);
      return Response.json({ code: "overloaded", detail: "" }, { status: 503 });
    },
  });
  await call(client).catch(() => {});
  if (sent === undefined) throw new Error("nothing was sent");
  return sent;
}

const digest = "ab".repeat(32);
const options = { model: "clip-ViT-B-32", normalize: true };
const png = new File([new Uint8Array(8)], "a.png", { type: "image/png" });

/** Each way of the client: its call, where it leads, and what is read of the answer. */
const ways = [
  {
    call: (client) => client.embedImage("https://a.example/a.jpg", { ...options, thumbnail: true }),
    path: "/upload",
    reads: ["embedding", "model", "thumbnail"],
  },
  {
    call: (client) => client.embedImage(png, { ...options, thumbnail: true }),
    path: "/vectorize-image-upload",
    reads: ["vector", "model", "thumbnail", "saved_as"],
  },
  {
    call: (client) => client.embedImage("data:image/png;base64,AAAA", options),
    path: "/vectorize-image-base64",
    reads: ["vector", "model", "thumbnail", "saved_as"],
  },
  {
    call: (client) => client.embedImageWithEach(png, ["clip-ViT-B-32"], { thumbnail: true }),
    path: "/embeddings",
    reads: ["sha256", "results", "thumbnail"],
  },
  {
    call: (client) => client.embedTexts(["a", "b"], options),
    path: "/embed-text",
    reads: ["vectors", "truncated", "dimensions", "model"],
  },
  {
    call: (client) => client.compare("https://a.example/a.jpg", ["a"], { model: options.model }),
    path: "/similarity",
    reads: ["results", "model"],
  },
  {
    call: (client) => client.compare(png, ["a"], { model: options.model }),
    path: "/similarity",
    reads: ["results", "model"],
  },
  {
    call: (client) => client.lookUp(digest, options),
    path: "/embeddings/{sha256}",
    reads: ["vector", "model"],
  },
  { call: (client) => client.models(), path: "/readyz", reads: ["models"] },
] as const satisfies readonly {
  readonly call: (client: ReturnType<typeof createClient>) => Promise<unknown>;
  readonly path: string;
  readonly reads: readonly string[];
}[];

/** Every name that a schema, or one of its alternatives, has. */
function namesOf({ properties = {}, anyOf = [] }: Schema): readonly string[] {
  return [...Object.keys(properties), ...anyOf.flatMap(namesOf)];
}

for (const { call, path, reads } of ways) {
  test(`what is sent to ${path} and read of it is documented: ${reads.join(", ")}`, async () => {
    const request = await sentBy(call);
    const url = new URL(request.url);
    expect(url.pathname).toBe(path.replace("{sha256}", digest));
    const operation = openApi.paths[path]?.[request.method.toLowerCase()];
    if (operation === undefined) throw new Error(`${request.method} ${path} is not documented`);
    const queries = operation.parameters?.filter((one) => one.in === "query") ?? [];
    for (const name of url.searchParams.keys()) {
      expect(queries.map((one) => one.name)).toContain(name);
    }
    if (request.method === "POST") await expectDocumentedBody(request, operation);
    const answer = operation.responses["200"]?.content?.["application/json"]?.schema ?? {};
    for (const name of reads) expect(namesOf(answer)).toContain(name);
  });
}

async function expectDocumentedBody(request: Request, operation: Operation): Promise<void> {
  const type = request.headers.get("content-type")?.split(";", 1)[0] ?? "";
  const schema = operation.requestBody?.content?.[type]?.schema;
  if (schema === undefined) throw new Error(`a body of ${type} is not documented`);
  if (type === "application/json") {
    const validate = new Ajv2020({ strict: false }).compile(schema);
    validate(await request.json());
    expect(validate.errors ?? []).toEqual([]);
    return;
  }
  const names = [...(await request.formData()).keys()];
  expect(names).toEqual([...(schema.required ?? [])]);
}

test("what is read of a match, a model and a problem is documented", () => {
  const answer = (path: string, method: string, status: string, type: string) =>
    openApi.paths[path]?.[method]?.responses[status]?.content?.[type]?.schema;
  const json = "application/json";
  const match = answer("/similarity", "post", "200", json)?.properties?.["results"]?.items ?? {};
  expect(namesOf(match)).toEqual(["text", "cosine", "probability", "truncated"]);
  const model = answer("/readyz", "get", "503", json)?.properties?.["models"]?.items ?? {};
  expect(namesOf(model)).toEqual(["id", "state", "why", "retry_after"]);
  const problem = "application/problem+json";
  const names = [
    ...namesOf(answer("/upload", "post", "422", problem) ?? {}),
    ...namesOf(answer("/upload", "post", "502", problem) ?? {}),
  ];
  for (const name of ["code", "title", "detail", "request_id", "errors", "origin_status"]) {
    expect(names).toContain(name);
  }
});

test("the client knows every code of the service, and no other", () => {
  // The compiler says so: neither list can lack one of the other.
  const ofService: Readonly<Record<ClientCode, unknown>> = problems;
  const ofClient: readonly ClientCode[] = codesOf(problems);
  expect(ofClient.filter((code) => !(code in ofService))).toEqual([]);
});

function codesOf(table: Readonly<Record<ServiceCode, unknown>>): readonly ServiceCode[] {
  const isCode = (code: string): code is ServiceCode => Object.hasOwn(table, code);
  return Object.keys(table).filter(isCode);
}
