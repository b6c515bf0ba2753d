/** One process makes a model at a time, and may be told to stop. */
import { setTimeout as wait } from "node:timers/promises";
import { tryLockFile } from "../src/native/file-lock.ts";

/** Called again and again. @throws Error once nobody wants the model any more. */
export type GoOn = () => void;

/** How often a process looks whether the one that writes is done. */
const lockPollMs = 250;

/**
 * Waits until no other process makes the same model.
 *
 * @param folder of the model; the lock lies beside it.
 * @throws Error of the file system, or of `goOn`.
 */
export async function lockModel(folder: string, goOn: GoOn): Promise<AsyncDisposable> {
  for (;;) {
    goOn();
    const held = await tryLockFile(`${folder}.lock`);
    if (held !== undefined) return held;
    await wait(lockPollMs);
  }
}
