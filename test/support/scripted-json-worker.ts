/**
 * A JSON worker that does what its bodies say, for tests of the thread: `{"script": "hang"}`, `"exit"`, or
 * `"wait"`, which parses once there is a file under `until`, or `"who"`, which answers the thread's number. Before it does anything it makes a file under
 * `begun`, where a body has one. Every other body is parsed as it should be.
 */
import { existsSync, writeFileSync } from "node:fs";
import { threadId } from "node:worker_threads";
import type { ParseJson } from "../../src/backends/protocol.ts";
import { decodeText, parseJsonBody } from "../../src/text/json-body.ts";

interface Script {
  readonly script?: string;
  readonly until?: string;
  readonly begun?: string;
}

/** Entry point for piscina. */
export function handle({ pieces, rules }: ParseJson): object {
  const { script, until = "", begun }: Script = JSON.parse(decodeText(pieces));
  if (begun !== undefined) writeFileSync(begun, "");
  if (script === "exit") process.exit(7);
  while (script === "hang" || (script === "wait" && !existsSync(until))) Bun.sleepSync(2);
  if (script === "who") return { value: threadId };
  return { value: parseJsonBody(pieces, rules) };
}
