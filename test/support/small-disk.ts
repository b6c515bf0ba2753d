/** A file system of a few megabytes, in a mount namespace of its own: it is gone when its test is. */
import { open, rm } from "node:fs/promises";
import { join } from "node:path";
import { leftOut } from "./left-out.ts";

export interface SmallDisk extends AsyncDisposable {
  /** Its folder, as this process and others of this user see it. */
  readonly path: string;
  /** Another writer's file takes all that is free, or all but so many bytes. */
  fill(leavingBytes?: number): Promise<void>;
  /** That file is gone. */
  clear(): Promise<void>;
  /** Makes it read-only, or writable again. */
  remount(mode: "ro" | "rw"): void;
}

/**
 * Mounts a tmpfs.
 *
 * @param at an empty folder, which stays empty for everybody else.
 * @returns undefined where this user may not, which is told.
 */
export async function mountSmallDisk(at: string, bytes: number): Promise<SmallDisk | undefined> {
  const asRoot = process.getuid?.() === 0 ? [] : ["--user", "--map-root-user"];
  const mount = `mount -t tmpfs -o size=${bytes} tmpfs "$1" && echo mounted && read -r end`;
  const keeper = Bun.spawn(["unshare", ...asRoot, "--mount", "sh", "-c", mount, "sh", at], {
    stdin: "pipe",
    stdout: "pipe",
    stderr: "ignore",
  });
  const { value } = await keeper.stdout.getReader().read();
  if (value === undefined) {
    leftOut("a full disk: this user may not mount a file system of its own");
    return undefined;
  }
  const path = `/proc/${keeper.pid}/root${at}`;
  const filler = join(path, "filler");
  return {
    path,
    fill: async (leavingBytes = 0) => {
      await using file = await open(filler, "w");
      const page = new Uint8Array(4096);
      try {
        for (;;) await file.write(page);
      } catch (error) {
        if (!(error instanceof Error && "code" in error && error.code === "ENOSPC")) throw error;
      }
      await file.truncate((await file.stat()).size - leavingBytes);
    },
    clear: () => rm(filler),
    remount: (mode) => {
      const user = asRoot.length === 0 ? [] : ["--user", "--preserve-credentials"];
      const within = ["nsenter", `--target=${keeper.pid}`, ...user, "--mount"];
      const { success } = Bun.spawnSync([...within, "mount", "-o", `remount,${mode}`, at]);
      if (!success) throw new Error(`the disk cannot be remounted ${mode}`);
    },
    async [Symbol.asyncDispose]() {
      keeper.kill();
      await keeper.exited;
    },
  };
}
