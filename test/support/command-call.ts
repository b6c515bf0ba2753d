/** A call of a command without a process around it. */
import type { CommandCall, Environment } from "../../src/cli/command-call.ts";
import { parseConfig } from "../../src/config.ts";
import { createLog } from "../../src/log.ts";

/** A call, and what it was told. */
export interface WrittenCall {
  readonly call: CommandCall;
  /** Everything on stdout. */
  readonly output: () => string;
  /** Everything on stderr. */
  readonly errors: () => string;
}

interface CallParts extends Pick<CommandCall, "folders"> {
  readonly operands?: readonly string[];
  readonly options?: Readonly<Record<string, string | true>>;
  readonly settings?: Readonly<Record<string, string>>;
  readonly flags?: CommandCall["flags"];
  readonly environment?: Environment;
  readonly interrupted?: AbortSignal;
}

/** Makes a call whose output is kept. */
export function writtenCall(parts: CallParts): WrittenCall {
  const parsed = parseConfig(parts.settings ?? {});
  if ("faults" in parsed) throw new Error(parsed.faults.join("; "));
  let output = "";
  let errors = "";
  const write = (text: string): void => {
    errors += text;
  };
  const call: CommandCall = {
    operands: parts.operands ?? [],
    options: new Map(Object.entries(parts.options ?? {})),
    flags: parts.flags ?? {},
    config: parsed.config,
    environment: parts.environment ?? {},
    folders: parts.folders,
    print: async (text) => {
      output += text;
    },
    tell: (line) => write(`${line}\n`),
    isWatched: false,
    startProgress: () => ({ show: () => {}, end: () => {} }),
    log: createLog({ level: "debug", format: "json", write, now: () => new Date() }),
    droppedLogLines: () => 0,
    interrupted: parts.interrupted ?? new AbortController().signal,
  };
  return { call, output: () => output, errors: () => errors };
}
