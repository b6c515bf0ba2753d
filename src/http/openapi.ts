/**
 * The OpenAPI document, made by `@elysiajs/swagger` from the routes' own schemas and then put right
 * where the plugin guesses: it offers every media type for every body, shows Elysia's coercions as
 * alternatives, and cannot know that a part that we store is a file to the client.
 */
import { swagger } from "@elysiajs/swagger";
import { type AnyElysia, Elysia } from "elysia";
import { description, version } from "../../package.json" with { type: "json" };
import { isOpenPath } from "./authorization.ts";

type Json = string | number | boolean | null | readonly Json[] | JsonObject;
interface JsonObject {
  readonly [key: string]: Json;
}

/** Requests whose body is not JSON. */
const requestMediaTypes: Readonly<Record<string, readonly string[]>> = {
  "/upload": ["application/x-www-form-urlencoded", "multipart/form-data"],
  "/vectorize-image-upload": ["multipart/form-data"],
};

/** The document is the same with API keys and without: so a key is shown as something that may be needed. */
const securitySchemes = {
  bearer: {
    type: "http",
    scheme: "bearer",
    description: "Needed where the operator has configured API keys, and ignored elsewhere.",
  },
};
const optionalKey: Json = [{}, { bearer: [] }];

/** Makes the document at the first call and keeps its text. */
export function createOpenApi(api: AnyElysia): () => Promise<string> {
  let text: Promise<string> | undefined;
  return () => {
    text ??= render(api);
    return text;
  };
}

async function render(api: AnyElysia): Promise<string> {
  const info = { title: "imagesvc", version, description };
  const plugin = swagger({ path: "/document", documentation: { info } });
  const app = new Elysia({ normalize: false }).use(plugin).use(api);
  const response = await app.handle(new Request("http://imagesvc/document/json"));
  const document = asObject(JSON.parse(await response.text()));
  const paths = Object.entries(objectAt(document, "paths")).map(([path, item]) => [
    path,
    mapValues(asObject(item), (operation) => putRight(path, asObject(operation))),
  ]);
  // 3.1 is the first version whose schemas know `const` and `examples`, as TypeBox writes them.
  const components = { ...objectAt(document, "components"), securitySchemes };
  const fixed = { ...document, openapi: "3.1.0", components, paths: Object.fromEntries(paths) };
  return JSON.stringify(plainSchemas(fixed), null, 2);
}

function putRight(path: string, operation: JsonObject): JsonObject {
  const responses = mapValues(objectAt(operation, "responses"), (response, status) => {
    const isProblem = Number(status) >= 400 && path !== "/readyz" && !path.startsWith("/v1/");
    const mediaType = isProblem ? "application/problem+json" : "application/json";
    // The plugin leaves the alternatives of an answer's schema beside it, too.
    const { anyOf, ...described } = asObject(response);
    return { description: "Done.", ...withMediaTypes(described, [mediaType]) };
  });
  const security = isOpenPath(path) ? [] : optionalKey;
  const fixed: Record<string, Json> = { ...operation, responses, security };
  if (operation["requestBody"] !== undefined) {
    const mediaTypes = requestMediaTypes[path] ?? ["application/json"];
    fixed["requestBody"] = {
      ...withMediaTypes(objectAt(operation, "requestBody"), mediaTypes),
      required: true,
    };
  }
  if (Array.isArray(operation["parameters"])) {
    fixed["parameters"] = operation["parameters"].map((one: Json) => {
      const { examples, ...parameter } = asObject(one);
      const schema = objectAt(parameter, "schema");
      if (!Array.isArray(examples)) return { ...parameter, schema };
      // What must be given is filled in by /docs, and what may be left out is left out.
      const filledIn = parameter["required"] === true ? { example: examples[0] } : {};
      return { ...parameter, ...filledIn, schema: { ...schema, examples } };
    });
  }
  return fixed;
}

/** The same schema under the media types that are really spoken. */
function withMediaTypes(body: JsonObject, mediaTypes: readonly string[]): JsonObject {
  const [content] = Object.values(objectAt(body, "content"));
  if (content === undefined) return body;
  const contents = mediaTypes.map((mediaType) => [mediaType, content]);
  return { ...body, content: Object.fromEntries(contents) };
}

/** Walks the document and makes every schema say what a client sends and gets. */
function plainSchemas(node: Json): Json {
  if (Array.isArray(node)) return node.map(plainSchemas);
  if (typeof node !== "object" || node === null) return node;
  // A word of OpenAPI 3.0; the alternatives beside it have `null` among them.
  const { nullable, ...object } = asObject(node);
  if (object["title"] === "StoredPart") {
    return { type: "string", format: "binary", description: "The image file." };
  }
  if (object["title"] === "Base64") {
    const { title, ...described } = object;
    return { ...described, type: "string" };
  }
  const alternatives = object["anyOf"];
  if (Array.isArray(alternatives)) {
    const kept = alternatives.map(asObject).filter((one) => !isCoercion(one));
    const [only] = kept;
    if (kept.length === 1 && only !== undefined) {
      const { anyOf, ...rest } = object;
      return plainSchemas({ ...only, ...rest });
    }
    const values = kept.flatMap((one) => (one["const"] === undefined ? [] : [one["const"]]));
    if (values.length === kept.length) {
      const { anyOf, ...rest } = object;
      return { ...rest, type: "string", enum: values };
    }
  }
  return mapValues(object, plainSchemas);
}

/** How Elysia lets a number or a boolean come as text. */
function isCoercion(schema: JsonObject): boolean {
  return (
    schema["type"] === "string" &&
    ["integer", "numeric", "boolean"].includes(String(schema["format"]))
  );
}

function mapValues(object: JsonObject, change: (value: Json, key: string) => Json): JsonObject {
  return Object.fromEntries(
    Object.entries(object).map(([key, value]) => [key, change(value, key)]),
  );
}

function objectAt(object: JsonObject, key: string): JsonObject {
  return asObject(object[key] ?? {});
}

function asObject(value: Json): JsonObject {
  if (!isObject(value)) throw new TypeError("the OpenAPI document has an unexpected shape");
  return value;
}

function isObject(value: Json): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
