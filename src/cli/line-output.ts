/** Where a command's records go: stdout or a file, one line each, never half a line. */
import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { codeOf, messageOf } from "../errors.ts";
import { type JsonWithVectors, jsonBytes } from "../vector/json-bytes.ts";

/** Disposing of it closes a file. */
export interface LineOutput extends AsyncDisposable {
  /** Empties a file that has something in it. @throws OutputError when that fails. */
  begin(): Promise<void>;
  /** @throws OutputError when the record cannot be written whole. */
  write(record: JsonWithVectors): Promise<void>;
}

/** A failure of a file; the message is for the user. */
export class OutputError extends Error {
  override readonly name = "OutputError";
}

/** Records as lines of JSON on stdout; `print` says by itself why it fails. */
export function printLines(print: (line: Uint8Array) => Promise<void>): LineOutput {
  return {
    begin: async () => {},
    write: (record) => print(jsonBytes(record, "\n")),
    [Symbol.asyncDispose]: async () => {},
  };
}

/**
 * Records as lines of JSON in a file, which is made if it is missing. What is in it stays until the first
 * record is about to come, since so much can go wrong before.
 *
 * @throws OutputError when it cannot be made or written.
 */
export async function openLines(path: string): Promise<LineOutput> {
  const flags = constants.O_WRONLY | constants.O_CREAT;
  const file = await inWords(path, () => open(path, flags, 0o666));
  return {
    begin: () =>
      inWords(path, async () => {
        // A pipe or a device has no length.
        if ((await file.stat()).isFile()) await file.truncate();
      }),
    write: (record) => inWords(path, () => file.appendFile(jsonBytes(record, "\n"))),
    [Symbol.asyncDispose]: () => inWords(path, () => file.close()),
  };
}

async function inWords<T>(path: string, act: () => Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (cause) {
    const code = codeOf(cause);
    const mend = mends[code] ?? "choose another path";
    const sentence = `${path} cannot be written (${code || messageOf(cause)}): ${mend}`;
    throw new OutputError(sentence, { cause });
  }
}

const permissions = "check its permissions, or choose another path";

/** What to do, by the code of the error. */
const mends: Readonly<Record<string, string>> = {
  ENOENT: "make its folder, or choose another path",
  ENOTDIR: "make its folder, or choose another path",
  EISDIR: "it is a folder, so choose another path",
  EACCES: permissions,
  EPERM: permissions,
  ENOSPC: "free space",
  EDQUOT: "free space",
};
