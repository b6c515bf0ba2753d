/** What is put into the embedding cache, on its way through the thread that writes it. */
import type { Piscina } from "piscina";
import type { CacheAnswers, CacheTask, NewEmbedding } from "../backends/protocol.ts";
import { messageOf } from "../errors.ts";
import { limits } from "../limits.ts";
import type { Log } from "../log.ts";

export interface WriterOptions {
  /** The file. */
  readonly path: string;
  /** Bytes of the file and its write-ahead log. */
  readonly maxBytes: number;
  readonly log: Pick<Log, "info" | "warn">;
  /** ms on a clock that never goes back. */
  readonly now: () => number;
}

interface WriterHooks {
  readonly thread: Pick<Piscina, "run">;
  /** Asked for the file that was found broken since it was asked last. */
  readonly takeBroken: () => string | undefined;
  /** Told of the file that was written to. */
  readonly onWritten: (fileId: string) => void;
}

export interface EmbeddingWriter {
  /** A vector that was put and is not written yet. */
  find(sha256: string, fingerprint: string): NewEmbedding | undefined;
  /** Writes a vector soon; not where too many wait, or where the last try failed not long ago. */
  put(embedding: NewEmbedding): void;
  /** Notes that a row was used: written with the next vectors, or once such rows are many. */
  noteUse(row: number): void;
  /** Writes what waits; resolves when all of it is written or given up. */
  flush(): Promise<void>;
}

type Task = Extract<CacheTask, { kind: "write" }>;

/** Makes the writer. One write is under way at a time; what comes meanwhile goes with the next. */
export function createEmbeddingWriter(
  { path, maxBytes, log, now }: WriterOptions,
  { thread, takeBroken, onWritten }: WriterHooks,
): EmbeddingWriter {
  const waiting = new Map<string, NewEmbedding>();
  const used = new Set<number>();
  let isFirst = true;
  let isFailing = false;
  let restsUntil = 0;
  let writing: Promise<void> | undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;

  const isResting = () => now() < restsUntil;

  /** Every write opens the file and ends with a commit: those that come together are written together. */
  function flushSoon(): void {
    timer ??= setTimeout(() => void flush(), limits.cacheWriteDelayMs);
  }

  async function flush(): Promise<void> {
    clearTimeout(timer);
    timer = undefined;
    const isIdle = waiting.size === 0 && used.size === 0 && writing === undefined;
    // The first write makes the file, even of nothing.
    if (isIdle && !isFirst) return;
    writing ??= writeAll().finally(() => {
      writing = undefined;
    });
    await writing;
  }

  async function writeAll(): Promise<void> {
    do await writeSome();
    while (waiting.size > 0);
  }

  async function writeSome(): Promise<void> {
    const some = [...waiting].slice(0, limits.maxWrittenVectors);
    const embeddings = some.map(([, embedding]) => embedding);
    const task = { path, maxBytes, isFirst, embeddings, used: [...used] };
    used.clear();
    const answer = await run(thread, { kind: "write", ...task, brokenFileId: takeBroken() });
    if ("fault" in answer) fail(answer.fault);
    else succeed(answer);
    for (const [key] of some) waiting.delete(key);
  }

  function succeed({ fileId, isNew }: Exclude<CacheAnswers["write"], { fault: string }>): void {
    if (isNew) log.warn("the embedding cache was broken: it is put aside, and a new one begun");
    else if (isFailing) log.info("the embedding cache is written again");
    isFirst = false;
    isFailing = false;
    onWritten(fileId);
  }

  function fail(cause: string): void {
    if (!isFailing)
      log.warn("the embedding cache cannot be written: no vectors are kept", { cause });
    isFailing = true;
    restsUntil = now() + limits.cacheRestMs;
    waiting.clear();
  }

  return {
    find: (sha256, fingerprint) => waiting.get(keyOf(sha256, fingerprint)),
    put: (embedding) => {
      if (waiting.size >= limits.maxUnwrittenVectors || isResting()) return;
      waiting.set(keyOf(embedding.facts.sha256, embedding.fingerprint), embedding);
      // As many as are written at once have nobody to wait for.
      if (waiting.size >= limits.maxWrittenVectors) void flush();
      else flushSoon();
    },
    noteUse: (row) => {
      if (used.size < limits.maxUnwrittenVectors) used.add(row);
      else if (!isResting()) void flush();
    },
    flush,
  };
}

function keyOf(sha256: string, fingerprint: string): string {
  return `${sha256} ${fingerprint}`;
}

/** A thread that dies has not written. */
async function run(thread: Pick<Piscina, "run">, task: Task): Promise<CacheAnswers["write"]> {
  try {
    return await thread.run(task);
  } catch (error) {
    return { fault: messageOf(error) };
  }
}
