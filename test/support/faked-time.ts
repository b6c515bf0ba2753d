/** A process whose wall clock can be set, by libfaketime; its monotonic clock runs on, as a real one does. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { leftOut } from "./left-out.ts";
import { temporaryFolder } from "./tiny-clip.ts";

export interface FakedTime extends AsyncDisposable {
  /** Variables for the process. */
  readonly environment: Readonly<Record<string, string>>;
  /** Sets its clock, in days from the real time. */
  set(days: number): Promise<void>;
}

/** Undefined where the library is missing, which is told. */
export async function fakeTime(): Promise<FakedTime | undefined> {
  const library = ["x86_64", "aarch64"]
    .map((machine) => `/usr/lib/${machine}-linux-gnu/faketime/libfaketimeMT.so.1`)
    .find(existsSync);
  if (library === undefined) {
    leftOut("a clock that jumps: there is no libfaketime");
    return undefined;
  }
  const folder = await temporaryFolder();
  const file = join(folder.path, "time");
  const set = async (days: number) =>
    void (await Bun.write(file, `${days < 0 ? "" : "+"}${days}d`));
  await set(0);
  return {
    environment: {
      LD_PRELOAD: library,
      FAKETIME_TIMESTAMP_FILE: file,
      FAKETIME_NO_CACHE: "1",
      FAKETIME_DONT_FAKE_MONOTONIC: "1",
    },
    set,
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
}
