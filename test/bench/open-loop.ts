/**
 * Load that does not slow down with the server: requests are sent by a schedule, whether or not answers
 * come, and latency is counted from the scheduled time. So a server that stalls is not spared the requests of
 * that time (G. Tene's “coordinated omission”).
 */
import type { Answer, Connection } from "./open-loop-connection.ts";

export interface OpenLoopOptions {
  readonly connect: () => Promise<Connection>;
  readonly nextRequest: () => Uint8Array;
  readonly requestsPerS: number;
  readonly forMs: number;
  /** Of `forMs` at its start, until as many answers come as will: goodput is counted from then on. */
  readonly leadInMs: number;
  /** Requests under way at once; one more is not sent, and counts as an error. */
  readonly maxUnderWay: number;
  /** ms after the last request until the answers that are missing are given up. */
  readonly patienceMs: number;
}

/** What became of the requests. */
export interface OpenLoopReport {
  readonly offered: number;
  /** For how many ms requests were sent. */
  readonly forMs: number;
  /** Of these, how many at the start do not count for goodput. */
  readonly leadInMs: number;
  /** 200: ms from the scheduled time. */
  readonly acceptedMs: readonly number[];
  /** How many of these came within `forMs`, after the lead-in. */
  readonly acceptedInTime: number;
  /** 429 and 503: ms from the scheduled time. */
  readonly refusedMs: readonly number[];
  /** The same by the server's own clock, from the request's head. */
  readonly refusedServerMs: readonly number[];
  /** ms that requests left later than scheduled: what the generator itself adds. */
  readonly lateMs: readonly number[];
  /** Other statuses, and failures by their words, with their numbers. */
  readonly errors: Readonly<Record<string, number>>;
}

/** Requests a second that were answered with 200 while requests were sent, the lead-in left out. */
export function goodput({ acceptedInTime, forMs, leadInMs }: OpenLoopReport): number {
  return (acceptedInTime * 1000) / (forMs - leadInMs);
}

/** How many requests were neither answered with 200 nor refused. */
export function countMissed({ errors }: OpenLoopReport): number {
  return Object.values(errors).reduce((sum, count) => sum + count, 0);
}

/** ms from the scheduled time of all that was not refused: Infinity for what was missed. */
export function takenMs(report: OpenLoopReport): readonly number[] {
  const missed = new Array<number>(countMissed(report)).fill(Number.POSITIVE_INFINITY);
  return [...report.acceptedMs, ...missed];
}

/** Sends requests by a schedule of exponential pauses, the same every time. */
export async function runOpenLoop(options: OpenLoopOptions): Promise<OpenLoopReport> {
  const { forMs, leadInMs, maxUnderWay, nextRequest } = options;
  const tally = createTally();
  const pool = createPool();
  const underWay = new Set<Promise<void>>();
  const startedAt = performance.now();

  async function shoot(scheduledAt: number): Promise<void> {
    try {
      const connection = pool.take() ?? (await options.connect());
      tally.late(performance.now() - scheduledAt);
      const answer = await connection.exchange(nextRequest());
      const now = performance.now();
      const atMs = now - startedAt;
      tally.answered(answer, now - scheduledAt, atMs >= leadInMs && atMs <= forMs);
      pool.give(connection);
    } catch (error) {
      tally.failed(error instanceof Error ? error.message : String(error));
    }
  }

  for (const pauseMs of schedule(options.requestsPerS, forMs)) {
    const dueAt = startedAt + pauseMs;
    const earlyMs = dueAt - performance.now();
    if (earlyMs > 0) await Bun.sleep(earlyMs);
    tally.offered();
    if (underWay.size >= maxUnderWay) {
      tally.failed(`not sent: ${maxUnderWay} were under way`);
      continue;
    }
    const shot = shoot(dueAt);
    underWay.add(shot);
    void shot.then(() => underWay.delete(shot));
  }
  await Promise.race([Promise.all(underWay), Bun.sleep(options.patienceMs)]);
  tally.failed("no answer", underWay.size);
  pool.close();
  return tally.report(forMs, leadInMs);
}

/** So many clients, each of which sends its next request as soon as it has its answer: finds out the capacity. */
export async function runClosedLoop({
  connect,
  nextRequest,
  clients,
  forMs,
}: Pick<OpenLoopOptions, "connect" | "nextRequest" | "forMs"> & {
  readonly clients: number;
}): Promise<OpenLoopReport> {
  const tally = createTally();
  const startedAt = performance.now();
  const client = async () => {
    const connection = await connect();
    while (performance.now() - startedAt < forMs) {
      const sentAt = performance.now();
      tally.offered();
      const answer = await connection.exchange(nextRequest());
      const now = performance.now();
      tally.answered(answer, now - sentAt, now - startedAt <= forMs);
    }
    connection.close();
  };
  await Promise.all(Array.from({ length: clients }, client));
  return tally.report(forMs);
}

/** Times of a Poisson process in ms, with its own random numbers: every run sends at the same times. */
export function* schedule(requestsPerS: number, forMs: number): Generator<number> {
  let seed = 1_122_334_455;
  let atMs = 0;
  for (;;) {
    // The “minimal standard” generator: Park and Miller 1988, with 48,271.
    seed = (seed * 48_271) % 2_147_483_647;
    atMs -= (Math.log(seed / 2_147_483_647) * 1000) / requestsPerS;
    if (atMs >= forMs) return;
    yield atMs;
  }
}

/** Connections that are kept for the next request: the one that was used last first, so that few are enough. */
function createPool() {
  const idle: Connection[] = [];
  return {
    take: (): Connection | undefined => {
      for (;;) {
        const connection = idle.pop();
        if (connection === undefined || connection.isOpen()) return connection;
      }
    },
    give: (connection: Connection): void => {
      if (connection.isOpen()) idle.push(connection);
    },
    close: (): void => {
      for (const connection of idle) connection.close();
    },
  };
}

function createTally() {
  const acceptedMs: number[] = [];
  const refusedMs: number[] = [];
  const refusedServerMs: number[] = [];
  const lateMs: number[] = [];
  const errors: Record<string, number> = {};
  let acceptedInTime = 0;
  let offered = 0;
  const failed = (what: string, count = 1): void => {
    if (count > 0) errors[what] = (errors[what] ?? 0) + count;
  };
  return {
    offered: () => {
      offered += 1;
    },
    late: (ms: number) => void lateMs.push(ms),
    failed,
    answered: ({ status, serverMs }: Answer, ms: number, isInTime: boolean): void => {
      if (status === 200) {
        acceptedMs.push(ms);
        if (isInTime) acceptedInTime += 1;
      } else if (status === 503 || status === 429) {
        refusedMs.push(ms);
        refusedServerMs.push(serverMs);
      } else failed(`status ${status}`);
    },
    report: (forMs: number, leadInMs = 0): OpenLoopReport => ({
      offered,
      forMs,
      leadInMs,
      acceptedMs,
      acceptedInTime,
      refusedMs,
      refusedServerMs,
      lateMs,
      errors,
    }),
  };
}
