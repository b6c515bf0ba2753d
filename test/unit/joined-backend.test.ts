/** The same image asked for by several at once: who computes, who waits, and whose failure is whose. */
import { expect, test } from "bun:test";
import type { BackendOutcome, EmbedJob, ImageBackend } from "../../src/backends/backend.ts";
import { joinedBackend } from "../../src/backends/joined-backend.ts";
import { Problem } from "../../src/errors.ts";

const sha256 = "ab".repeat(32);

/** A joined model whose jobs wait until the test settles them. */
function setUp() {
  const jobs: {
    readonly job: EmbedJob;
    readonly settle: (outcome: BackendOutcome | Error) => void;
  }[] = [];
  const backend: ImageBackend = {
    id: "m",
    exactId: "m@1",
    dimensions: 1,
    fingerprint: () => "m",
    state: () => ({ kind: "ready" }),
    admission: () => undefined,
    embed: async (job) => {
      const { promise, resolve, reject } = Promise.withResolvers<BackendOutcome>();
      const settle = (outcome: BackendOutcome | Error) =>
        outcome instanceof Error ? reject(outcome) : resolve(outcome);
      job.signal.addEventListener("abort", () => reject(job.signal.reason));
      jobs.push({ job, settle });
      return await promise;
    },
  };
  const joined = joinedBackend(backend);
  const ask = (
    options: { readonly digest?: string | undefined; readonly caller?: object } = {},
  ) => {
    const leaving = new AbortController();
    const { digest = sha256, caller } = options;
    const image = { kind: "memory", bytes: new Uint8Array([1]), sha256: digest } as const;
    const job = { image, signal: leaving.signal, deadline: 1e9, ...(caller && { caller }) };
    const outcome = joined.embed(job).catch((error: unknown) => error);
    return { outcome, leave: () => leaving.abort(new Error("gone")), signal: leaving.signal };
  };
  return { jobs, ask, joined };
}

const facts = { sha256, format: "jpg", width: 1, height: 1 } as const;
const bytes = new Uint8Array([1]);
const vector = { model: "m@1", vector: new Float32Array([7]) };
const good: BackendOutcome = { facts, bytes, result: vector, timings: { infer: 1 } };
const settled = () => Bun.sleep(0);

test("the same image is computed once, and whoever waited keeps the bytes that are theirs", async () => {
  const { jobs, ask } = setUp();
  const [first, second] = [ask(), ask()];
  await settled();
  expect(jobs).toHaveLength(1);
  jobs[0]?.settle(good);
  expect(await first.outcome).toEqual(good);
  const { bytes: _, ...shared } = good;
  expect(await second.outcome).toEqual(shared);
});

test("other images, images of unknown digest, and later requests are computed on their own", async () => {
  const { jobs, ask, joined } = setUp();
  const [one, other] = [ask(), ask({ digest: "cd".repeat(32) })];
  const unknown = { kind: "memory", bytes: new Uint8Array([1]) } as const;
  const signal = new AbortController().signal;
  const rest = [1, 2].map(() => joined.embed({ image: unknown, signal, deadline: 1e9 }));
  await settled();
  expect(jobs).toHaveLength(4);
  for (const { settle } of jobs) settle(good);
  await Promise.all([one.outcome, other.outcome, ...rest]);
  ask();
  await settled();
  expect(jobs).toHaveLength(5);
});

test("whoever began it may leave: the others get the vector", async () => {
  const { jobs, ask } = setUp();
  const [first, second] = [ask(), ask()];
  await settled();
  first.leave();
  expect(await first.outcome).toHaveProperty("message", "gone");
  expect(jobs[0]?.job.signal.aborted).toBe(false);
  jobs[0]?.settle(good);
  expect(await second.outcome).toHaveProperty("result", vector);
  expect(jobs).toHaveLength(1);
});

test("when all have left the work is dropped", async () => {
  const { jobs, ask } = setUp();
  const both = [ask(), ask()];
  await settled();
  for (const { leave } of both) leave();
  await Promise.all(both.map(({ outcome }) => outcome));
  expect(jobs[0]?.job.signal.aborted).toBe(true);
});

test("a failure of the image is everybody's", async () => {
  const { jobs, ask } = setUp();
  const both = [ask(), ask()];
  await settled();
  const result = new Problem("undecodable-image", "Cut short.");
  jobs[0]?.settle({ result, timings: {} });
  for (const { outcome } of both) expect(await outcome).toMatchObject({ result });
  expect(jobs).toHaveLength(1);
});

test("a failure whose beginner has left, taking the file along, is tried again", async () => {
  const { jobs, ask } = setUp();
  const [first, second] = [ask(), ask()];
  await settled();
  first.leave();
  jobs[0]?.settle({ result: new Problem("undecodable-image", "Gone."), timings: {} });
  await settled();
  expect(jobs).toHaveLength(2);
  jobs[1]?.settle(good);
  expect(await second.outcome).toHaveProperty("result", vector);
});

test.each([
  ["thrown", (): Error => new Problem("inference-timeout", "Too slow.")],
  [
    "as an outcome",
    (): BackendOutcome => ({ result: new Problem("upstream-timeout", "Slow."), timings: {} }),
  ],
])("a deadline, %s, is the beginner's alone: the next one begins anew", async (_how, failure) => {
  const { jobs, ask } = setUp();
  const all = [ask(), ask(), ask()];
  await settled();
  jobs[0]?.settle(failure());
  await settled();
  expect(jobs).toHaveLength(2);
  jobs[1]?.settle(good);
  const outcomes = await Promise.all(all.map(({ outcome }) => outcome));
  expect(outcomes.map((outcome) => JSON.stringify(outcome).includes("jpg"))).toEqual([
    false,
    true,
    true,
  ]);
});

test("a worker that dies fails all who waited: their image is not sent to the next one", async () => {
  const { jobs, ask } = setUp();
  const both = [ask(), ask()];
  await settled();
  jobs[0]?.settle(new Error("the thread died"));
  for (const { outcome } of both)
    expect(await outcome).toHaveProperty("message", "the thread died");
  expect(jobs).toHaveLength(1);
});

test("the queue is told whose job it is, although nobody's leaving ends it", async () => {
  const { jobs, ask } = setUp();
  const caller = {};
  ask({ caller });
  const second = ask({ digest: "cd".repeat(32) });
  await settled();
  expect(jobs.map(({ job }) => job.caller)).toEqual([caller, second.signal]);
  expect(jobs[0]?.job.signal).not.toBe(second.signal);
});
