/** JSON bodies: from the bytes as they came to the parsed value, the same on every thread. */
import { messageOf, Problem } from "../errors.ts";
import { decodeBase64Image } from "../image/data-uri.ts";
import { limits } from "../limits.ts";
import { readInputs, refuseTokenIds } from "./embedding-inputs.ts";

/** How a JSON body is read. */
export interface JsonRules {
  /**
   * What to read for each raw CR and LF, such as nothing; themselves unless told. For clients whose base64 is
   * wrapped inside the JSON string: between tokens line breaks mean nothing, and inside a string JSON forbids
   * them, so nothing is lost.
   */
  readonly lineBreak?: string;
  /** Most brackets and commas. */
  readonly maxValues: number;
  /** The field that has an image as base64, where there is one. */
  readonly imageField?: string;
  /** Whether `input` holds texts and images, as an OpenAI embeddings request has them: `readInputs` reads it. */
  readonly hasInputs?: boolean;
  /** Most bytes of each image. */
  readonly maxImageBytes: number;
}

/**
 * Parses a body.
 *
 * @param pieces the bytes in order, cut anywhere.
 * @returns the value as it was sent; but where the image field has a text, the image's bytes are in its place,
 *   as an ArrayBuffer: JSON has none, so nobody can send one. Inputs are what `readInputs` makes of them. A list that is too long for any field is cut to one
 *   item more than its field takes: its schema refuses it all the same, and looks at no more.
 * @throws Problem `malformed-body`; `invalid-base64` or `body-too-large` for the image; `validation-failed` for inputs.
 */
export function parseJsonBody(pieces: Iterable<Uint8Array>, rules: JsonRules): unknown {
  const json = decodeText(pieces, rules.lineBreak);
  if (rules.hasInputs) refuseTokenIds(json);
  const parsed = parseJson(json, rules.maxValues);
  if (!isObject(parsed)) return parsed;
  const value = Object.fromEntries(Object.entries(parsed).map(cutList));
  const { imageField, maxImageBytes } = rules;
  if (rules.hasInputs) {
    const input = readInputs(value["input"], value["modality"], maxImageBytes);
    return { ...value, input };
  }
  if (imageField === undefined) return value;
  const text = value[imageField];
  if (typeof text !== "string") return value;
  return { ...value, [imageField]: decodeBase64Image(text, maxImageBytes).buffer };
}

/**
 * The text of a body.
 *
 * @param lineBreak what to read for each raw CR and LF; themselves unless told.
 * @throws Problem `malformed-body` unless the bytes are UTF-8.
 */
export function decodeText(pieces: Iterable<Uint8Array>, lineBreak?: string): string {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  let text = "";
  try {
    for (const piece of pieces) {
      const part = decoder.decode(piece, { stream: true });
      text += lineBreak === undefined ? part : withLineBreaks(part, lineBreak);
    }
    return text + decoder.decode();
  } catch (error) {
    throw cutShort(error);
  }
}

/** The problem of a body that is not whole. */
export function cutShort(cause: unknown): Problem {
  const detail = "The body is cut short or not UTF-8: send it whole.";
  return new Problem("malformed-body", detail, { cause });
}

/**
 * Millions of marks would keep a parser busy for seconds: they are counted first, which takes a few ms even
 * for the largest body. Those inside strings count too.
 *
 * @throws Problem `malformed-body` if there are more.
 */
export function refuseManyValues(text: string, marks: readonly string[], maxValues: number): void {
  let left = maxValues;
  for (const mark of marks) {
    for (let at = text.indexOf(mark); at >= 0; at = text.indexOf(mark, at + 1)) {
      left -= 1;
      if (left < 0) {
        const detail = `The body holds more than ${maxValues} values: send only the documented fields.`;
        throw new Problem("malformed-body", detail);
      }
    }
  }
}

function cutList([name, value]: [string, unknown]): [string, unknown] {
  return [name, Array.isArray(value) ? value.slice(0, limits.maxTexts + 1) : value];
}

/** Names, and whatever looks like one inside a string. @throws Problem `malformed-body` if there are too many. */
function refuseManyNames(text: string): void {
  let left = limits.maxJsonNames;
  for (const _ of text.matchAll(/"\s*:/g)) {
    left -= 1;
    if (left >= 0) continue;
    const detail = `The body holds more than ${limits.maxJsonNames} names: send only the documented fields.`;
    throw new Problem("malformed-body", detail);
  }
}

function parseJson(text: string, maxValues: number): unknown {
  if (!/\S/.test(text)) throw new Problem("malformed-body", "The body is empty: send JSON.");
  refuseManyValues(text, ["[", "{", ","], maxValues);
  refuseManyNames(text);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    // Without the error as its cause: the parser quotes the body, which no log may hold.
    throw new Problem("malformed-body", `The body is not JSON: ${syntaxOf(error, text)}.`);
  }
  if (isDeeper(value, limits.maxJsonDepth)) {
    const detail = `The body is nested more than ${limits.maxJsonDepth} deep: send only the documented fields.`;
    throw new Problem("malformed-body", detail);
  }
  return value;
}

/** Whatever walks a value, such as the copying from thread to thread, has a stack that ends somewhere. */
function isDeeper(value: unknown, maxDepth: number): boolean {
  if (typeof value !== "object" || value === null) return false;
  // `Object.values` of a long array takes a hundred times as long as the array itself.
  const inner: readonly unknown[] = Array.isArray(value) ? value : Object.values(value);
  return maxDepth === 0 || inner.some((one) => isDeeper(one, maxDepth - 1));
}

/** What the parser complains of, without the caller's own text. */
function syntaxOf(error: unknown, text: string): string {
  // It calls a string unterminated also where a raw line break is in it.
  const isCut = /end of|EOF|terminated/i.test(messageOf(error)) && !text.trimEnd().endsWith("}");
  return isCut ? "it ends too early" : "check quotes, commas and braces";
}

function withLineBreaks(piece: string, lineBreak: string): string {
  return piece.replaceAll("\n", lineBreak).replaceAll("\r", lineBreak);
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
