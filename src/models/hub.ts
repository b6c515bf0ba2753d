/**
 * Downloads files of a Hugging Face hub: resumed after a break, checked by size and SHA-256, placed whole,
 * and safe when several processes want the same file.
 */
import { mkdir, rm, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { type Clock, processClock } from "../backends/clock.ts";
import { codeOf, messageOf } from "../errors.ts";
import { tryLockFile } from "../native/file-lock.ts";
import type { WeightsSource } from "./catalog.ts";
import { spaceLack } from "./disk-space.ts";
import { type DownloadTerms, failed, fillFromHub, type PullFailure } from "./hub-download.ts";
import type { HubAccess } from "./hub-request.ts";
import { openPartialFile } from "./partial-file.ts";

export interface HubOptions extends HubAccess {
  /** Nothing is downloaded then. */
  readonly isOffline: boolean;
  readonly clock?: Clock;
  /** No byte for so long: the connection is given up, and asked for anew. 30 s unless told. */
  readonly silenceMs?: number;
}

/** What a download is asked to do, beside the file itself. */
export interface PullTerms extends DownloadTerms {
  /** Bytes that will be needed on the same disk afterwards, for what is made from the file. */
  readonly bytesBeside: number;
}

export interface Hub {
  /**
   * Downloads a file unless it is there.
   *
   * @param target where it is placed, whole; while it is under way it lies beside, as `.partial`.
   * @returns undefined once it is there.
   * @throws the signal's reason; what came stays for the next try.
   */
  pull(file: WeightsSource, target: string, terms: PullTerms): Promise<PullFailure | undefined>;
}

/** How often a process looks whether the one that downloads is done. */
const lockPollMs = 500;

/** Makes the client of one hub. */
export function createHub(options: HubOptions): Hub {
  const { clock = processClock, silenceMs = 30_000 } = options;

  async function download(
    file: WeightsSource,
    target: string,
    terms: PullTerms,
  ): Promise<PullFailure | undefined> {
    const path = `${target}.partial`;
    const lack = await spaceLack(
      dirname(target),
      file.bytes - (await sizeOf(path)) + terms.bytesBeside,
    );
    if (lack !== undefined) return { ...failed(lack), mayPass: true };
    const part = await openPartialFile(path, file.bytes, terms.signal);
    try {
      const failure = await fillFromHub({ ...options, clock, silenceMs }, part, file, terms);
      if (failure === undefined) return (await part.place(target)) ? undefined : vanished;
      // What was wrong was thrown away: an empty file is of use to nobody.
      if (part.size() === 0) await rm(path, { force: true });
      return failure;
    } finally {
      await part.close();
    }
  }

  return {
    pull: async (file, target, terms) => {
      if (options.isOffline) return failed("HF_HUB_OFFLINE forbids to download");
      try {
        await mkdir(dirname(target), { recursive: true });
        for (let tries = 0; ; tries += 1) {
          await using lock = await tryLockFile(`${target}.lock`);
          if ((await sizeOf(target)) === file.bytes) return undefined;
          if (lock !== undefined) return await download(file, target, terms);
          if (tries === 0) terms.onWait?.();
          const receivedBytes = await sizeOf(`${target}.partial`);
          terms.onProgress({ receivedBytes, totalBytes: file.bytes });
          await clock.sleep(lockPollMs, terms.signal);
        }
      } catch (error) {
        terms.signal.throwIfAborted();
        return fileSystemFailure(error);
      }
    },
  };
}

async function sizeOf(path: string): Promise<number> {
  return await stat(path).then(
    ({ size }) => size,
    () => 0,
  );
}

/** Somebody deleted what was under way. */
const vanished: PullFailure = {
  ...failed("somebody deleted the file while it was downloaded: download it again"),
  mayPass: true,
};

function fileSystemFailure(error: unknown): PullFailure {
  const code = codeOf(error);
  if (code === "ENOENT") return vanished;
  if (code === "ENOSPC" || code === "EDQUOT") {
    return { ...failed("the disk of MODELS_DIR is full: free space"), mayPass: true };
  }
  return failed(
    `MODELS_DIR cannot be written (${code || messageOf(error)}): make it a folder of this user`,
  );
}
