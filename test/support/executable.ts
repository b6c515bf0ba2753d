/** The compiled executable, built once however many test files of one run ask for it. */
import { chmod, mkdir, mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type ServiceProcess, startProcess } from "./process.ts";
import { repositoryRoot } from "./source-files.ts";

let built: Promise<string> | undefined;

/** Builds the executable, or waits for whoever does. @returns its path; it goes with the test run. */
export function builtExecutable(): Promise<string> {
  built ??= build();
  return built;
}

async function build(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "imagesvc-executable-"));
  // Tests also run it as a user who owns nothing.
  await chmod(folder, 0o755);
  removeAtTheEnd(folder);
  const executable = join(folder, "imagesvc");
  const home = join(folder, "builder");
  await mkdir(home);
  const build = Bun.spawn([process.execPath, "src/native/build.ts", executable], {
    cwd: repositoryRoot,
    env: { PATH: Bun.env["PATH"] ?? "", HOME: home },
    stdout: "ignore",
  });
  if ((await build.exited) !== 0) throw new Error("the executable could not be built");
  return executable;
}

/**
 * Bun tells nobody that all test files are done. So a process that is not Bun's child waits for the end of
 * this one, however it ends.
 */
function removeAtTheEnd(folder: string): void {
  const script = '(while kill -0 "$1"; do sleep 1; done; rm -rf -- "$2") &';
  Bun.spawnSync(["sh", "-c", script, "sh", String(process.pid), folder], {
    stdio: ["ignore", "ignore", "ignore"],
  });
}

/** Where and how the executable is run. */
export interface RunOptions {
  /** Begins the command line: a program that ends by running the rest of it in its own place. */
  readonly within?: readonly string[];
  /** What its path is there, where that is another. */
  readonly program?: string;
  readonly environment?: Readonly<Record<string, string>>;
  readonly cwd?: string;
}

/** Starts `serve`, and waits until its model has run once. */
export async function serveReady(
  options: RunOptions = {},
): Promise<ServiceProcess & { readonly at: URL }> {
  const { within = [], environment = {}, cwd = "/" } = options;
  const command = [...within, options.program ?? (await builtExecutable()), "serve"];
  const service = await startProcess({ LOG_LEVEL: "debug", ...environment }, { command, cwd });
  try {
    const state = await service.logged(/"message":"(model ready|the model is not available)"/);
    if (state !== "model ready") throw new Error(`not ready: ${service.log()}`);
    return Object.assign(service, { at: await service.url() });
  } catch (error) {
    await service[Symbol.asyncDispose]();
    throw error;
  }
}

/** Asks `embed` for a model that is none: it loads the native libraries, and ends before it starts a thread. */
export async function loadLibraries(options: RunOptions) {
  const { within = [], environment = {}, cwd = "/" } = options;
  const command = [
    ...within,
    options.program ?? (await builtExecutable()),
    "embed",
    "--model",
    "none",
    "-",
  ];
  const child = Bun.spawn(command, {
    cwd,
    env: { PATH: Bun.env["PATH"] ?? "", LOG_LEVEL: "debug", LOG_FORMAT: "json", ...environment },
    stdin: "ignore",
    stdout: "ignore",
    stderr: "pipe",
  });
  const [errors, code] = await Promise.all([child.stderr.text(), child.exited]);
  const messages: Record<string, string>[] = errors
    .split("\n")
    .filter((line) => line.startsWith("{"))
    .map((line) => JSON.parse(line));
  return {
    /** Whether it came as far as the model's name, which is wrong usage. */
    isLoaded: code === 2,
    code,
    errors,
    /** How the libraries were loaded, in the log's words. */
    how: messages.find(({ message }) => message === "native libraries loaded")?.["how"],
    complaint: messages.find(({ level }) => level === "error")?.["message"],
  };
}

/** Begins a command line whose system call filter refuses memory files. */
export const withoutMemoryFiles: readonly string[] = [
  process.execPath,
  fileURLToPath(import.meta.resolve("./without-memory-files.ts")),
];

/**
 * Begins a command line that first changes what it sees of the file system, unseen by others.
 *
 * @param script of `sh`; its `$1` and on are `values`.
 */
export function withMounts(script: string, ...values: readonly string[]): readonly string[] {
  const text = `mount --make-rprivate / && ${script} && shift ${values.length} && exec "$@"`;
  return ["unshare", "--mount", "sh", "-ec", text, "sh", ...values];
}

export const isRoot = process.getuid?.() === 0;
