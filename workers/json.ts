/** The thread that parses large JSON bodies: it loads nothing else, and keeps nothing between bodies. */
import { move, transferableSymbol, valueSymbol } from "piscina";
import type { ParsedJson, ParseJson } from "../src/backends/protocol.ts";
import { parseJsonBody } from "../src/text/json-body.ts";
import { problemMessage } from "./problem-message.ts";

/** Entry point for piscina: parses one body and gives the bytes of its image by transfer. */
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
  return Object.values(parsed.value).filter((one) => one instanceof ArrayBuffer);
}
