/**
 * Parses JSON bodies: small ones at once, large ones in a thread of their own, so that nobody else waits for
 * them. The thread starts with the first large body and ends when none has come for a while.
 */
import { move, type Piscina, transferableSymbol, valueSymbol } from "piscina";
import { DeadlineError, inTime } from "../backends/deadline.ts";
import { type Settle, withTerms } from "../backends/job.ts";
import { startThread } from "../backends/pool.ts";
import type { ParsedJson, ParseJson } from "../backends/protocol.ts";
import { Problem } from "../errors.ts";
import { parseJsonBody } from "../text/json-body.ts";

export interface JsonParserOptions {
  /** The module whose `handle` parses. */
  readonly filename: string;
  /** Most bytes of a body that is parsed at once. */
  readonly maxInlineBytes: number;
  /** ms; a body that is parsed for longer never ends. */
  readonly parseTimeoutMs: number;
  /** ms; a body that was not parsed by then, because of others, is refused. Longer than `parseTimeoutMs`. */
  readonly timeoutMs: number;
  /** ms after which a thread without a body ends. */
  readonly idleMs: number;
}

export interface JsonParser {
  /**
   * Parses one body as `parseJsonBody` does; large ones one after the other.
   *
   * @param task given away: the bytes of a large body move to the thread.
   * @param signal drops a body that waits; the result of one that is being parsed is thrown away.
   * @throws Problem of `parseJsonBody`; `overloaded` when others took too long; the signal's reason. DeadlineError
   *   when its parsing never ends, and Error when the thread dies: the next body finds a fresh one.
   */
  parse(task: ParseJson, signal: AbortSignal): Promise<unknown>;
  /** Ends the thread. */
  close(): Promise<void>;
}

/** A large body that waits. */
interface Job {
  readonly task: ParseJson;
  readonly settle: Settle<ParsedJson>;
}

/** Makes the parser. What waits is bounded by whoever calls it: the bytes of arriving bodies are. */
export function createJsonParser(options: JsonParserOptions): JsonParser {
  const { filename, maxInlineBytes, parseTimeoutMs, timeoutMs, idleMs } = options;
  const waiting: Job[] = [];
  let isBusy = false;
  let thread: Piscina | undefined;

  async function work(): Promise<void> {
    if (isBusy) return;
    isBusy = true;
    for (let job = waiting.shift(); job !== undefined; job = waiting.shift()) {
      await run(job.task).then(job.settle, job.settle);
    }
    isBusy = false;
  }

  async function run(task: ParseJson): Promise<ParsedJson> {
    thread ??= startThread(filename, idleMs);
    const buffers = [...new Set(task.pieces.map(({ buffer }) => buffer))];
    const parsing = thread.run(move({ [transferableSymbol]: buffers, [valueSymbol]: task }));
    try {
      return await inTime(parsing, parseTimeoutMs, "a JSON body was not parsed in time");
    } catch (error) {
      if (error instanceof DeadlineError) {
        parsing.catch(() => {});
        // It is in no native code that could not bear to be ended.
        void thread.destroy();
        thread = undefined;
      }
      throw error;
    }
  }

  async function parseInThread(task: ParseJson, signal: AbortSignal): Promise<unknown> {
    const parsed = await withTerms<ParsedJson>(
      { signal, deadline: performance.now() + timeoutMs },
      tooBusy,
      (settle) => {
        waiting.push({ task, settle });
        void work();
      },
      () => {
        const index = waiting.findIndex((job) => job.task === task);
        if (index !== -1) waiting.splice(index, 1);
      },
    );
    if ("value" in parsed) return parsed.value;
    const { code, detail, cause, faults = [] } = parsed.problem;
    throw new Problem(code, detail, { cause, faults });
  }

  return {
    parse: async (task, signal) => {
      const bytes = task.pieces.reduce((sum, { length }) => sum + length, 0);
      if (bytes > maxInlineBytes) return await parseInThread(task, signal);
      return parseJsonBody(task.pieces, task.rules);
    },
    close: async () => await thread?.destroy(),
  };
}

function tooBusy(): Problem {
  return new Problem("overloaded", "The service is at capacity: come back in 5 s.", {
    retryAfterS: 5,
  });
}
