/** Where a command's records go: stdout or a file, one line each, never half a line. */
import { open } from "node:fs/promises";
import { messageOf } from "../errors.ts";

export interface LineOutput {
  /** @throws OutputError when the record cannot be written whole. */
  write(record: object): Promise<void>;
  close(): Promise<void>;
}

/** A failure of stdout or of a file; the message is for the user. */
export class OutputError extends Error {
  override readonly name = "OutputError";
}

/** Records as lines of JSON on stdout. */
export function printLines(print: (text: string) => Promise<void>): LineOutput {
  return {
    write: (record) => inWords("stdout", () => print(`${JSON.stringify(record)}\n`)),
    close: async () => {},
  };
}

/**
 * Records as lines of JSON in a file, which is made anew.
 *
 * @throws OutputError when it cannot be made.
 */
export async function openLines(path: string): Promise<LineOutput> {
  const file = await inWords(path, () => open(path, "w"));
  return {
    write: (record) => inWords(path, () => file.appendFile(`${JSON.stringify(record)}\n`)),
    close: () => file.close(),
  };
}

async function inWords<T>(where: string, act: () => Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (cause) {
    throw new OutputError(`${where} cannot be written: ${messageOf(cause)}`, { cause });
  }
}
