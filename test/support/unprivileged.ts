import { join } from "node:path";
import { leftOut } from "./left-out.ts";

/**
 * Runs `bun src/main.ts` to its end as a user whom files do not belong to: root may write everywhere.
 *
 * @returns undefined where this process may not do that, which is told.
 */
export async function runUnprivileged(
  argv: readonly string[],
  environment: Readonly<Record<string, string>>,
): Promise<
  { readonly code: number; readonly output: string; readonly errors: string } | undefined
> {
  if (process.getuid?.() !== 0 || Bun.which("setpriv") === null) {
    leftOut("a process of another user: only root starts one, with setpriv");
    return undefined;
  }
  const main = join(import.meta.dir, "../../src/main.ts");
  const nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
  const child = Bun.spawn([...nobody, process.execPath, main, ...argv], {
    env: { PATH: Bun.env["PATH"] ?? "", PORT: "0", HOST: "127.0.0.1", ...environment },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    timeout: 30_000,
  });
  const [output, errors] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  return { code: await child.exited, output, errors };
}
