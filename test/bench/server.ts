/** The servers that are measured: the service as it is started by its users, and the bystander. */
import { mkdir, mkdtemp, readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { testModelsDir } from "../support/service.ts";
import { type Child, startChild } from "./child.ts";
import type { EventLoopDelay, ProbeQuestion } from "./event-loop-probe.ts";
import { removeLater } from "./leftovers.ts";

/** A server in a process of its own, whose event loop is watched. */
export interface Server extends Child<ProbeQuestion, EventLoopDelay> {
  readonly url: URL;
}

/** The service among them. */
export interface ServiceServer extends Server {
  readonly downloadsDir: string;
  /** File of what it has logged so far. */
  readonly logPath: string;
}

const startTimeoutMs = 120_000;
const preload = ["--preload", "./test/bench/event-loop-probe.ts"];

/**
 * Starts the service with its defaults, its files in a temporary folder.
 *
 * @param weights `none`: it starts without any, and `/readyz` says so.
 * @param settings its variables, where it is not to have its defaults.
 * @throws Error with the service's log when it does not come up.
 */
export async function startService(
  weights: "synthetic" | "none",
  settings: Readonly<Record<string, string>> = {},
): Promise<ServiceServer> {
  const folder = await mkdtemp(join(tmpdir(), "imagesvc-bench-"));
  const { port, url } = freeAddress();
  const logPath = join(folder, "log");
  const downloadsDir = join(folder, "downloads");
  const emptyDir = join(folder, "models");
  await mkdir(emptyDir);
  const child = startChild<ProbeQuestion, EventLoopDelay>({
    args: [...preload, "src/main.ts", "serve"],
    environment: {
      HOST: url.hostname,
      PORT: String(port),
      CLIP_WEIGHTS: weights === "none" ? "openai" : "synthetic",
      HF_HUB_OFFLINE: "true",
      MODELS_DIR: weights === "none" ? emptyDir : testModelsDir,
      DOWNLOADS_DIR: downloadsDir,
      CACHE_DIR: join(folder, "cache"),
      ...settings,
    },
    logPath,
  });
  const dispose = async () => {
    await child[Symbol.asyncDispose]();
    removeLater(folder);
  };
  try {
    await untilAnswered(new URL("/readyz", url), (text) =>
      text.includes(weights === "none" ? `"unavailable"` : `"ready"`),
    );
  } catch (cause) {
    const log = await readFile(logPath, "utf8");
    await dispose();
    throw new Error(`the service did not come up:\n${log}`, { cause });
  }
  return { ...child, url, downloadsDir, logPath, [Symbol.asyncDispose]: dispose };
}

/** Starts the server that shows what the machine does to any process. */
export async function startBystander(): Promise<Server> {
  const { port, url } = freeAddress();
  const child = startChild<ProbeQuestion, EventLoopDelay>({
    args: [...preload, fileURLToPath(new URL("./bystander.ts", import.meta.url)), String(port)],
  });
  await untilAnswered(url, (text) => text.includes("alive"));
  return { ...child, url };
}

/** An address of loopback where nobody listens now. */
export function freeAddress(): { readonly port: number; readonly url: URL } {
  const server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response() });
  const { port, url } = server;
  void server.stop(true);
  if (port === undefined) throw new Error("no port is free");
  return { port, url };
}

async function untilAnswered(url: URL, isExpected: (text: string) => boolean): Promise<void> {
  const deadline = performance.now() + startTimeoutMs;
  while (performance.now() < deadline) {
    const text = await fetch(url).then(
      (response) => response.text(),
      () => "",
    );
    if (isExpected(text)) return;
    await Bun.sleep(50);
  }
  throw new Error(`nothing good came from ${url} in time`);
}
