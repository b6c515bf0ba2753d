/** What a command prints, written whole whatever reads it. */
import { write } from "node:fs";
import { setTimeout as wait } from "node:timers/promises";
import { codeOf } from "../errors.ts";

/** ms until a full pipe is tried again. */
const fullPipeMs = 5;

/**
 * Writes all of some bytes, however slowly they are read. A pipe that does not block takes what it has room for, and a
 * pipe is set so for all who share it as soon as `process.stdout` or `process.stderr` is touched. `Bun.write` of Bun 1.4.5
 * then begins anew; `process.stdout` loses what was not read when the process ends.
 *
 * @throws Error of the file system, with its `code`: `EPIPE` where nobody reads any more.
 * @see https://github.com/oven-sh/bun/pull/35953
 */
export async function writeAll(descriptor: number, bytes: Uint8Array): Promise<void> {
  for (let written = 0; written < bytes.length; ) {
    const taken = await writeSome(descriptor, bytes.subarray(written));
    if (taken === undefined) await wait(fullPipeMs);
    else written += taken;
  }
}

/** @returns how many bytes were taken; undefined where there is no room now. */
function writeSome(descriptor: number, bytes: Uint8Array): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    write(descriptor, bytes, (error, taken) => {
      if (error === null) resolve(taken);
      else if (codeOf(error) === "EAGAIN") resolve(undefined);
      else reject(error);
    });
  });
}
