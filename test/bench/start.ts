import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { builtExecutable } from "../support/executable.ts";
import { testModelsDir } from "../support/service.ts";
import { repositoryRoot } from "../support/source-files.ts";
import { findingRow, findingsHead } from "./report.ts";
import { median, withRange } from "./statistics.ts";

const runs = 7;
const deadlineMs = 60_000;

/** ms from the start of the process. */
interface StartTimes {
  readonly listening: number;
  readonly ready: number;
}

/** How soon the executable listens and is ready, beside the time that the same file needs to say its version. */
export async function* start(): AsyncGenerator<string> {
  const executable = await builtExecutable();
  const folder = await mkdtemp(join(tmpdir(), "imagesvc-bench-start-"));
  try {
    const floor: number[] = [];
    const warm: StartTimes[] = [];
    // The first run of each brings the file into memory.
    for (let run = 0; run <= runs; run += 1) {
      const startedAt = performance.now();
      await exited(Bun.spawn([executable, "--version"], quietly));
      floor.push(performance.now() - startedAt);
      warm.push(await timeStart(executable, folder, testModelsDir));
    }
    const first = await timeStart(executable, folder, join(folder, "models"));
    yield `${runs} starts of the executable with prepared weights, ms; the median and the range`;
    const [listening, ready] = [
      measured(warm.map((times) => times.listening)),
      measured(warm.map((times) => times.ready)),
    ];
    yield* findingsHead;
    yield findingRow({
      what: "start of the executable, to listening, ms",
      measured: withRange(listening, 0),
      reference: `the same file says its version: ${withRange(measured(floor), 0)}`,
      wanted: "under 100",
      isMet: median(listening) < 100,
    });
    yield findingRow({
      what: "the same, to ready with prepared weights, ms",
      measured: withRange(ready, 0),
      wanted: "under 500",
      isMet: median(ready) < 500,
    });
    yield findingRow({
      what: "first start ever, to listening, ms",
      measured: first.listening.toFixed(0),
      reference: `ready, with synthetic weights made and packed, after ${first.ready.toFixed(0)}`,
      wanted: "under 1000",
      isMet: first.listening < 1000,
    });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

const quietly = { cwd: repositoryRoot, stdout: "ignore", stderr: "ignore" } as const;

function measured(values: readonly number[]): readonly number[] {
  return values.slice(1);
}

async function exited(child: { readonly exited: Promise<number> }): Promise<void> {
  const code = await child.exited;
  if (code !== 0) throw new Error(`a process ended with code ${code}`);
}

/** Starts the service, waits until its model is ready, and stops it. */
async function timeStart(
  executable: string,
  folder: string,
  modelsDir: string,
): Promise<StartTimes> {
  const startedAt = performance.now();
  const child = Bun.spawn([executable, "serve"], {
    cwd: folder,
    env: {
      HOST: "127.0.0.1",
      PORT: "0",
      CLIP_WEIGHTS: "synthetic",
      MODELS_DIR: modelsDir,
      CACHE_DIR: join(folder, "cache"),
      LOG_FORMAT: "json",
    },
    stdout: "ignore",
    stderr: "pipe",
    timeout: deadlineMs,
  });
  let log = "";
  let listening: number | undefined;
  let ready: number | undefined;
  for await (const chunk of child.stderr.pipeThrough(new TextDecoderStream())) {
    log += chunk;
    if (log.includes('"listening"')) listening ??= performance.now() - startedAt;
    if (ready === undefined && log.includes('"model ready"')) {
      ready = performance.now() - startedAt;
      child.kill("SIGTERM");
    }
  }
  await child.exited;
  if (listening === undefined || ready === undefined) throw new Error(`it did not start:\n${log}`);
  return { listening, ready };
}
