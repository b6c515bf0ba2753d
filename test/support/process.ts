import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { refuseLeaks } from "./secret-traces.ts";
import { testModelsDir } from "./service.ts";

/** The service as a process of its own, which ends with its test. */
export interface ServiceProcess extends AsyncDisposable {
  readonly pid: number;
  /** Log lines so far. */
  log(): string;
  /** Resolves with the first match once the log has one. */
  logged(pattern: RegExp): Promise<string>;
  /** Where it listens. */
  url(): Promise<URL>;
  signal(name: NodeJS.Signals): void;
  /** Its exit code. */
  readonly exited: Promise<number>;
  readonly downloadsDir: string;
}

/** What the process gets besides the given variables: nothing of ours. */
const plainEnvironment = {
  PATH: Bun.env["PATH"] ?? "",
  HOST: "127.0.0.1",
  PORT: "0",
  CLIP_WEIGHTS: "synthetic",
  WORKERS: "1",
  MODELS_DIR: testModelsDir,
  DOWNLOADS_MIN_FREE_BYTES: "0",
  HF_HUB_OFFLINE: "true",
  // Nothing is kept in this user's own cache folder.
  CACHE_MAX_BYTES: "0",
};

const main = join(import.meta.dir, "../../src/main.ts");

/** What is started where it is not `bun src/main.ts serve` in the tests' own working folder. */
interface StartOptions {
  readonly command?: readonly string[];
  readonly cwd?: string;
}

/** Starts the service; nothing is awaited. */
export async function startProcess(
  environment: Readonly<Record<string, string>> = {},
  { command = [process.execPath, main, "serve"], cwd = process.cwd() }: StartOptions = {},
): Promise<ServiceProcess> {
  const downloadsDir = await mkdtemp(join(tmpdir(), "imagesvc-process-"));
  const child = Bun.spawn([...command], {
    cwd,
    env: { ...plainEnvironment, DOWNLOADS_DIR: downloadsDir, ...environment },
    stdout: "ignore",
    stderr: "pipe",
  });
  let log = "";
  const reading = (async () => {
    const decoder = new TextDecoder();
    for await (const chunk of child.stderr) log += decoder.decode(chunk, { stream: true });
  })();
  const logged = async (pattern: RegExp): Promise<string> => {
    for (;;) {
      const match = pattern.exec(log);
      if (match !== null) return match[1] ?? match[0];
      if (child.exitCode !== null) throw new Error(`ended without ${pattern}: ${log}`);
      await Bun.sleep(5);
    }
  };
  return {
    pid: child.pid,
    log: () => log,
    logged,
    url: async () => new URL(await logged(/"listening","url":"([^"]+)"/)),
    signal: (name) => child.kill(name),
    exited: child.exited.then(async (code) => {
      await reading;
      return code;
    }),
    downloadsDir,
    async [Symbol.asyncDispose]() {
      if (child.exitCode === null) child.kill("SIGKILL");
      await child.exited;
      await rm(downloadsDir, { recursive: true, force: true });
      refuseLeaks(environment, [{ where: "the log", text: log }]);
    },
  };
}

/** Runs `bun src/main.ts` to its end; what it may read on stdin is nothing unless told. */
export async function runMain(
  argv: readonly string[],
  environment: Readonly<Record<string, string>> = {},
  stdin = "",
): Promise<{ readonly code: number; readonly output: string; readonly errors: string }> {
  const child = Bun.spawn([process.execPath, main, ...argv], {
    env: { ...plainEnvironment, ...environment },
    stdin: new Blob([stdin]),
    stdout: "pipe",
    stderr: "pipe",
  });
  const [output, errors, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  refuseLeaks(environment, [{ where: argv.join(" "), text: `${output}\n${errors}` }]);
  return { code, output, errors };
}
