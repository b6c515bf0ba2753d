/** A control group of its own for a process, so that the kernel ends it, and no other, when its memory is over. */
import { access, mkdir, readFile, rmdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { leftOut } from "./left-out.ts";

export interface MemoryLimit extends AsyncDisposable {
  /** A command as it runs in the group. */
  within(command: readonly string[]): readonly string[];
  /** From now on the group may have so many bytes more than it holds and cannot give back. */
  leave(bytes: number): Promise<void>;
  /** How many processes of the group the kernel has ended. */
  killed(): Promise<number>;
}

/** How each version of control groups names things. @see the kernel's cgroup-v2.rst and cgroup-v1/memory.rst */
const versions = [
  {
    root: "/sys/fs/cgroup",
    limit: "memory.max",
    noSwap: ["memory.swap.max", "0"],
    anonymous: /^anon (\d+)/m,
    events: "memory.events",
  },
  {
    root: "/sys/fs/cgroup/memory",
    limit: "memory.limit_in_bytes",
    noSwap: ["memory.swappiness", "0"],
    anonymous: /^total_rss (\d+)/m,
    events: "memory.oom_control",
  },
] as const;

/** Makes a group without a limit; undefined where this user may not, which is told. */
export async function limitMemory(): Promise<MemoryLimit | undefined> {
  for (const { root, limit, noSwap, anonymous, events } of versions) {
    const group = join(root, `imagesvc-test-${crypto.randomUUID()}`);
    if (!(await makeGroup(group, limit))) continue;
    const [swapFile, swap] = noSwap;
    await writeFile(join(group, swapFile), swap).catch(() => {});
    const read = async (file: string, pattern: RegExp) =>
      Number(pattern.exec(await readFile(join(group, file), "utf8"))?.[1]);
    const enter = 'echo $$ >"$0/cgroup.procs" && exec "$@"';
    return {
      within: (command) => ["sh", "-c", enter, group, ...command],
      leave: async (bytes) => {
        const held = await read("memory.stat", anonymous);
        await writeFile(join(group, limit), String(held + bytes));
      },
      killed: () => read(events, /^oom_kill (\d+)/m),
      [Symbol.asyncDispose]: () => rmdir(group),
    };
  }
  leftOut("a process without memory: this user may make no control group with a limit");
  return undefined;
}

/** @returns whether there is a group that memory can be limited in. */
async function makeGroup(path: string, limit: string): Promise<boolean> {
  try {
    await mkdir(path);
  } catch {
    return false;
  }
  try {
    await access(join(path, limit));
    return true;
  } catch {
    await rmdir(path).catch(() => {});
    return false;
  }
}
