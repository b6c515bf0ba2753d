/** JSON as bytes, in which vectors are written as they are in `vector-text.ts`. */
import { maxVectorTextBytes, writeVectorText } from "./vector-text.ts";

/** What becomes JSON: a vector becomes an array of numbers, and bytes are JSON text that stands as it is. */
export type JsonWithVectors =
  | null
  | undefined
  | boolean
  | number
  | string
  | Float32Array
  | Uint8Array
  | readonly JsonWithVectors[]
  | { readonly [name: string]: JsonWithVectors };

/** A type of answers, with vectors in the place of lists of numbers. */
export type WithVectors<Answer> = Answer extends number[]
  ? Float32Array | Uint8Array
  : Answer extends readonly (infer Item)[]
    ? readonly WithVectors<Item>[]
    : Answer extends object
      ? { readonly [Name in keyof Answer]: WithVectors<Answer[Name]> }
      : Answer;

/**
 * Writes a value as `JSON.stringify` does, but for vectors, which it does not know.
 *
 * @param end text behind it.
 * @returns UTF-8, in a buffer of its own.
 */
export function jsonBytes(value: JsonWithVectors, end = ""): Uint8Array<ArrayBuffer> {
  const pieces = createPieces();
  addValue(value, pieces);
  pieces.addText(end);
  return pieces.join();
}

type Pieces = ReturnType<typeof createPieces>;

function createPieces() {
  const pieces: (string | Float32Array | Uint8Array)[] = [];
  let text = "";
  let maxBytes = 0;

  function endText(): void {
    if (text === "") return;
    pieces.push(text);
    // No UTF-16 unit takes more bytes of UTF-8.
    maxBytes += text.length * 3;
    text = "";
  }

  return {
    addText: (more: string) => {
      text += more;
    },
    add: (piece: Float32Array | Uint8Array) => {
      endText();
      pieces.push(piece);
      maxBytes += piece instanceof Float32Array ? maxVectorTextBytes(piece.length) : piece.length;
    },
    join: (): Uint8Array<ArrayBuffer> => {
      endText();
      const bytes = new Uint8Array(maxBytes);
      const encoder = new TextEncoder();
      let at = 0;
      for (const piece of pieces) {
        if (typeof piece === "string") at += encoder.encodeInto(piece, bytes.subarray(at)).written;
        else if (piece instanceof Float32Array) at = writeVectorText(piece, bytes, at);
        else {
          bytes.set(piece, at);
          at += piece.length;
        }
      }
      return bytes.slice(0, at);
    },
  };
}

function addValue(value: JsonWithVectors, pieces: Pieces): void {
  if (value instanceof Float32Array || value instanceof Uint8Array) pieces.add(value);
  else if (isList(value)) addList(value, pieces);
  else if (typeof value === "object" && value !== null) addObject(value, pieces);
  else pieces.addText(JSON.stringify(value) ?? "null");
}

function isList(value: JsonWithVectors): value is readonly JsonWithVectors[] {
  return Array.isArray(value);
}

function addList(list: readonly JsonWithVectors[], pieces: Pieces): void {
  pieces.addText("[");
  for (const [index, item] of list.entries()) {
    if (index > 0) pieces.addText(",");
    addValue(item, pieces);
  }
  pieces.addText("]");
}

function addObject(object: { readonly [name: string]: JsonWithVectors }, pieces: Pieces): void {
  let separator = "{";
  for (const [name, value] of Object.entries(object)) {
    if (value === undefined) continue;
    pieces.addText(`${separator}${JSON.stringify(name)}:`);
    addValue(value, pieces);
    separator = ",";
  }
  pieces.addText(separator === "{" ? "{}" : "}");
}
