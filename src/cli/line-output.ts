/** Where a command's records go: stdout or a file, in whole lines. */
import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { codeOf, messageOf } from "../errors.ts";
import { tryLock } from "../native/file-lock.ts";

/** Disposing of it closes a file. */
export interface LineOutput extends AsyncDisposable {
  /** Empties a file that has something in it, unless it is gone on with. @throws OutputError when that fails. */
  begin(): Promise<void>;
  /** @param lines with their line breaks. @throws OutputError when they cannot be written whole. */
  write(lines: Uint8Array): Promise<void>;
}

/** A failure of a file; the message is for the user. */
export class OutputError extends Error {
  override readonly name = "OutputError";
}

/** Lines on stdout; `print` says by itself why it fails. */
export function printLines(print: (lines: Uint8Array) => Promise<void>): LineOutput {
  return {
    begin: async () => {},
    write: print,
    [Symbol.asyncDispose]: async () => {},
  };
}

/**
 * Lines in a file, which is made if it is missing. What is in it stays until the first record is about to come,
 * since so much can go wrong before. No other run may write to it meanwhile: a line of one would end in a line of
 * the other.
 *
 * @param goesOn whether what is in it stays for good.
 * @throws OutputError when it cannot be made or written, or another run writes to it.
 */
export async function openLines(path: string, goesOn = false): Promise<LineOutput> {
  const flags = constants.O_WRONLY | constants.O_CREAT | (goesOn ? constants.O_APPEND : 0);
  const file = await inWords(path, () => open(path, flags, 0o666));
  // Pipes and devices are no run's own.
  if ((await file.stat()).isFile() && !tryLock(file)) {
    await file.close();
    throw new OutputError(
      `${path} is being written by another run: wait for its end, or name another file`,
    );
  }
  return {
    begin: () =>
      inWords(path, async () => {
        // A pipe or a device has no length.
        if (!goesOn && (await file.stat()).isFile()) await file.truncate();
      }),
    write: (lines) => inWords(path, () => file.appendFile(lines)),
    [Symbol.asyncDispose]: () => inWords(path, () => file.close()),
  };
}

/** @throws OutputError, where the file system refuses, with a sentence that has the mend. */
export async function inWords<T>(path: string, act: () => Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (cause) {
    if (cause instanceof OutputError) throw cause;
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
