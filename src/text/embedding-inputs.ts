/** The inputs of an OpenAI embeddings request, from parsed JSON to texts and images. */
import { type FieldFault, Problem } from "../errors.ts";
import { decodeBase64Image } from "../image/data-uri.ts";
import { limits } from "../limits.ts";

/** One input as it was sent, with its place in the body. */
export type ReadInput = {
  /** RFC 6901 pointer to what was sent, such as `/input/3/image`. */
  readonly pointer: string;
} & (
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "url"; readonly url: string }
  /** An image's bytes: JSON has none, so nobody can send them as such. */
  | { readonly kind: "bytes"; readonly bytes: ArrayBuffer }
  /** An image whose base64 cannot be used. */
  | {
      readonly kind: "unusable";
      readonly code: "invalid-base64" | "body-too-large";
      readonly detail: string;
    }
);

/** Most faults that are told of one list. */
const maxFaults = 16;

/** The reason why ids are refused, whichever way they come. */
const tokenIds =
  "expected texts, since token ids are those of another model's tokenizer: send strings (LangChain: check_embedding_ctx_length=False)";

/**
 * Reads `input`. Base64 is decoded here, since bodies are parsed where nobody waits.
 *
 * @param input what stands in the body's field; undefined where there is none.
 * @param modality what a bare string is: `image` makes it a URL, a data: URI or base64, anything else a text.
 * @param maxImageBytes of each image.
 * @returns 1 to 256 inputs in their order; where an image's bytes cannot be used, the others still can.
 * @throws Problem `validation-failed` unless it has the documented shape.
 */
export function readInputs(
  input: unknown,
  modality: unknown,
  maxImageBytes: number,
): readonly ReadInput[] {
  const isImage = modality === "image";
  if (!Array.isArray(input)) {
    const read = readInput(input, "/input", isImage, maxImageBytes);
    if ("message" in read) refuse([read]);
    return [read];
  }
  const items: readonly unknown[] = input;
  if (items.length === 0) refuse([{ pointer: "/input", message: "expected at least one input" }]);
  if (items.every((item) => typeof item === "number")) {
    refuse([{ pointer: "/input", message: tokenIds }]);
  }
  if (items.length > limits.maxTexts) refuse([tooMany()]);
  const read = items.map((item, index) =>
    readInput(item, `/input/${index}`, isImage, maxImageBytes),
  );
  const faults = read.filter((one) => "message" in one);
  if (faults.length > 0) refuse(faults.slice(0, maxFaults));
  return read.filter((one) => "kind" in one);
}

/**
 * Finds token ids before the body is parsed: there may be more of them than the parser takes, and whoever sends
 * them should hear the reason.
 *
 * @throws Problem `validation-failed`.
 */
export function refuseTokenIds(text: string): void {
  if (/"input"\s*:\s*\[\s*(?:\[\s*)?-?\d/.test(text)) {
    const isNested = /"input"\s*:\s*\[\s*\[/.test(text);
    refuse([{ pointer: isNested ? "/input/0" : "/input", message: tokenIds }]);
  }
}

function readInput(
  item: unknown,
  pointer: string,
  isImage: boolean,
  maxImageBytes: number,
): ReadInput | FieldFault {
  if (typeof item === "string") {
    return isImage
      ? readImage(item, pointer, maxImageBytes)
      : { kind: "text", text: item, pointer };
  }
  if (item === undefined) return { pointer, message: "it is missing" };
  if (Array.isArray(item) && item.every((one) => typeof one === "number")) {
    return { pointer, message: tokenIds };
  }
  if (!isObject(item)) return { pointer, message: "expected a text, or an object with an image" };
  return readObject(item, pointer, maxImageBytes);
}

function readObject(
  item: Readonly<Record<string, unknown>>,
  pointer: string,
  maxImageBytes: number,
): ReadInput | FieldFault {
  const { type, image_url } = item;
  const given = ["text", "image", "image_url"].filter((name) => (item[name] ?? null) !== null);
  const [field = ""] = given;
  if (given.length !== 1) {
    return { pointer, message: "expected exactly one of text, image and image_url" };
  }
  if (type !== undefined && type !== field) {
    return { pointer: `${pointer}/type`, message: `expected ${field}, as the object has one` };
  }
  // Some clients send the URL itself.
  const isNested = field === "image_url" && isObject(image_url);
  const value = isNested ? image_url["url"] : item[field];
  const at = isNested ? `${pointer}/image_url/url` : `${pointer}/${field}`;
  if (typeof value !== "string") {
    return { pointer: at, message: value === undefined ? "it is missing" : "expected string" };
  }
  return field === "text"
    ? { kind: "text", text: value, pointer: at }
    : readImage(value, at, maxImageBytes);
}

/** A URL, of whatever scheme, or base64, bare or in a data: URI. */
function readImage(image: string, pointer: string, maxImageBytes: number): ReadInput {
  const start = image.slice(0, 64);
  if (/^\s*[a-z][a-z0-9+.-]*:\/\//i.test(start)) return { kind: "url", url: image, pointer };
  try {
    const bytes = decodeBase64Image(image, maxImageBytes).buffer;
    return { kind: "bytes", bytes, pointer };
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    const code = error.code === "body-too-large" ? error.code : "invalid-base64";
    return { kind: "unusable", code, detail: error.message, pointer };
  }
}

/** How many there are is not told: the list was cut. */
function tooMany(): FieldFault {
  const message = `expected at most ${limits.maxTexts} inputs: send the others in further requests`;
  return { pointer: "/input", message };
}

function refuse(faults: readonly FieldFault[]): never {
  const [first] = faults;
  const name = fieldName(first?.pointer ?? "");
  const detail = `The field ${name} is wrong: ${first?.message ?? "see /docs"}.`;
  throw new Problem("validation-failed", detail, { faults });
}

/** A pointer as OpenAI's errors write it: `/input/3/image` is `input[3].image`. */
export function fieldName(pointer: string): string {
  return pointer
    .split("/")
    .slice(1)
    .map((part, index) => (/^\d+$/.test(part) ? `[${part}]` : `${index > 0 ? "." : ""}${part}`))
    .join("");
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
