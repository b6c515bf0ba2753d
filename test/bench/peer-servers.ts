/** Servers that do the same job in other ways, and the service, each started the way its users start it. */
import { existsSync } from "node:fs";
import { copyFile, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { prepareSynthetic } from "../support/default-model.ts";
import { testModelsDir } from "../support/service.ts";
import { repositoryRoot } from "../support/source-files.ts";
import { type ModelFolders, writeModelFolders } from "./peers/model-folders.ts";
import packageJson from "./peers/transformers-js/package.json" with { type: "json" };
import { freeAddress } from "./server.ts";
import { upload } from "./upload.ts";

/** A server that answers uploads. */
export interface PeerServer extends AsyncDisposable, Pick<Peer, "name" | "hasOurGraph"> {
  readonly pid: number;
  readonly url: URL;
  /** From its start to its first vector. */
  readonly firstAnswerMs: number;
}

/** How one is started. */
export interface Peer {
  readonly name: string;
  /** Runs the graph of this service, which nobody would have who wrote something else. */
  readonly hasOurGraph: boolean;
  /** Runs on this machine only where this is installed. */
  readonly needs?: string;
  command(port: number): readonly string[];
  readonly cwd: string;
  /** Done right before it is started. */
  prepare?(): Promise<void>;
  environment(port: number): Readonly<Record<string, string>>;
}

const startTimeoutMs = 120_000;
const pollMs = 20;
const peersFolder = join(repositoryRoot, "test/bench/peers");

/** Where install.sh puts what the peers need: another folder for other versions. */
export async function peersDir(): Promise<string> {
  const hash = new Bun.CryptoHasher("sha256");
  for (const path of ["sentence-transformers/requirements.txt", "transformers-js/package.json"]) {
    hash.update(await Bun.file(join(peersFolder, path)).bytes());
  }
  return join(tmpdir(), `imagesvc-bench-peers-${hash.digest("hex").slice(0, 8)}`);
}

/**
 * Every server of the comparison, the service first.
 *
 * @param installed folder of install.sh.
 * @param scratch folder for the service's files.
 */
export async function describePeers(installed: string, scratch: string): Promise<readonly Peer[]> {
  const { imageTower } = await prepareSynthetic(join(testModelsDir, "synthetic"));
  const folders = await writeModelFolders(installed);
  const requirements = await Bun.file(
    join(peersFolder, "sentence-transformers/requirements.txt"),
  ).text();
  const pinned = (name: string) => new RegExp(`^${name}.*==(.+)$`, "m").exec(requirements)?.[1];
  return [
    service(scratch),
    sentenceTransformers(
      installed,
      folders,
      `FastAPI ${pinned("fastapi")} + sentence-transformers ${pinned("sentence-transformers")}, torch ${pinned("torch")}`,
    ),
    transformersJs(installed, folders),
    bareServer("Bun.serve + onnxruntime with sharp's resize, no batches", folders.exportedTower),
    {
      ...bareServer(
        "Bun.serve + onnxruntime with sharp's resize, this service's graph",
        imageTower,
      ),
      hasOurGraph: true,
    },
  ];
}

function bareServer(name: string, imageTower: string): Peer {
  return {
    name,
    hasOurGraph: false,
    command: (port) => [
      process.execPath,
      "test/bench/peers/onnxruntime-sharp/server.ts",
      imageTower,
      String(port),
    ],
    cwd: repositoryRoot,
    environment: () => ({}),
  };
}

function service(scratch: string): Peer {
  return {
    name: "imagesvc",
    hasOurGraph: true,
    command: () => [process.execPath, "src/main.ts", "serve"],
    cwd: repositoryRoot,
    environment: (port) => ({
      HOST: "127.0.0.1",
      PORT: String(port),
      CLIP_WEIGHTS: "synthetic",
      MODELS_DIR: testModelsDir,
      DOWNLOADS_DIR: join(scratch, "downloads"),
      CACHE_DIR: join(scratch, "cache"),
    }),
  };
}

function sentenceTransformers(installed: string, folders: ModelFolders, name: string): Peer {
  const uvicorn = join(installed, "python/bin/uvicorn");
  return {
    name,
    hasOurGraph: false,
    needs: uvicorn,
    command: (port) => [uvicorn, "main:app", "--port", String(port), "--log-level", "warning"],
    cwd: join(peersFolder, "sentence-transformers"),
    environment: () => ({
      MODEL: folders.sentenceTransformers,
      HF_HUB_OFFLINE: "1",
      PYTHONDONTWRITEBYTECODE: "1",
    }),
  };
}

function transformersJs(installed: string, folders: ModelFolders): Peer {
  const { express, "@huggingface/transformers": transformers } = packageJson.dependencies;
  return {
    name: `Express ${express} + @huggingface/transformers ${transformers}`,
    hasOurGraph: false,
    needs: join(installed, "node/node_modules/@huggingface/transformers/package.json"),
    command: (port) => [
      Bun.which("node") ?? "node",
      "server.mjs",
      folders.transformersJs,
      String(port),
    ],
    cwd: join(installed, "node"),
    // Node looks for packages beside the file that names them.
    prepare: () =>
      copyFile(join(peersFolder, "transformers-js/server.mjs"), join(installed, "node/server.mjs")),
    environment: () => ({}),
  };
}

/** Whether one can run here. */
export function isInstalled({ needs }: Peer): boolean {
  return needs === undefined || existsSync(needs);
}

/** Brings in what the peers need: minutes, once. @throws Error when that fails. */
export async function installPeers(installed: string): Promise<void> {
  const child = Bun.spawn([join(peersFolder, "install.sh"), installed], {
    stdio: ["ignore", "ignore", "inherit"],
  });
  if ((await child.exited) !== 0) throw new Error(`install.sh failed for ${installed}`);
}

/**
 * Starts a server and waits for its first vector.
 *
 * @throws Error with its log when there is none in time.
 */
export async function startPeer(peer: Peer, photo: Uint8Array): Promise<PeerServer> {
  await peer.prepare?.();
  const { url, port } = freeAddress();
  const folder = await mkdtemp(join(tmpdir(), "imagesvc-bench-peer-"));
  const log = join(folder, "log");
  const startedAt = performance.now();
  const child = Bun.spawn([...peer.command(port)], {
    cwd: peer.cwd,
    env: peer.environment(port),
    stdio: ["ignore", Bun.file(log), Bun.file(log)],
  });
  const killIt = () => child.kill("SIGTERM");
  // A figure that is interrupted leaves no server behind.
  process.on("exit", killIt);
  const dispose = async () => {
    process.off("exit", killIt);
    killIt();
    await child.exited;
    await rm(folder, { recursive: true, force: true });
  };
  while (performance.now() < startedAt + startTimeoutMs && child.exitCode === null) {
    const response = await upload(url, photo).catch(() => undefined);
    await response?.arrayBuffer();
    if (response?.ok) {
      const firstAnswerMs = performance.now() - startedAt;
      const { name, hasOurGraph } = peer;
      const { pid } = child;
      return { name, hasOurGraph, pid, url, firstAnswerMs, [Symbol.asyncDispose]: dispose };
    }
    await Bun.sleep(pollMs);
  }
  const said = await Bun.file(log).text();
  await dispose();
  throw new Error(`${peer.name} did not come up:\n${said}`);
}
