/** The thread that parses large JSON bodies: it loads nothing else, and keeps nothing between bodies. */
import { move, transferableSymbol, valueSymbol } from "piscina";
import type { ParsedJson, ParseJson } from "../src/backends/protocol.ts";
import { parseJsonBody } from "../src/text/json-body.ts";
import { problemMessage } from "./problem-message.ts";

/** Entry point for piscina: parses one body and gives the bytes of its images by transfer. */
export function handle({ pieces, rules }: ParseJson): object {
  const parsed = parse(pieces, rules);
  return move({ [transferableSymbol]: buffersOf(parsed), [valueSymbol]: parsed });
}

function parse(pieces: ParseJson["pieces"], rules: ParseJson["rules"]): ParsedJson {
  try {
    return { value: parseJsonBody(pieces, rules) };
  } catch (error) {
    return { problem: problemMessage(error) };
  }
}

function buffersOf(parsed: ParsedJson): ArrayBuffer[] {
  if (!("value" in parsed) || typeof parsed.value !== "object" || parsed.value === null) return [];
  return Object.values(parsed.value).flatMap((field) => {
    const items: readonly unknown[] = Array.isArray(field) ? field : [];
    return [field, ...items.map(bytesOf)].filter((one) => one instanceof ArrayBuffer);
  });
}

/** The bytes of an input, where it is an image that came with them. */
function bytesOf(item: unknown): unknown {
  return typeof item === "object" && item !== null && "bytes" in item ? item.bytes : undefined;
}
