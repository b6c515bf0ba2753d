/** `imagesvc embed`: many images or texts, one record each. */
import { readFileSync } from "node:fs";
import { codeOf, Problem } from "../errors.ts";
import { limits } from "../limits.ts";
import type { ImageSource } from "../sources/source.ts";
import type { CommandCall } from "./command-call.ts";
import { createImageWork, createTextWork, type Work } from "./embed-outcome.ts";
import { type EmbedOutput, openEmbedOutput } from "./embed-output.ts";
import { type EmbedPlan, readEmbedPlan } from "./embed-plan.ts";
import { mapInFlight } from "./in-flight.ts";
import { OutputError } from "./line-output.ts";
import { type ComposeParts, widthOf, withLoadedModel } from "./loaded-model.ts";
import { createRemoteService, RemoteError } from "./remote-service.ts";
import { createRemoteImageWork, createRemoteTextWork, defaultModelOf } from "./remote-work.ts";
import { isInShard } from "./shard.ts";
import { type Listed, type ListOptions, listImages, listTexts } from "./source-list.ts";

/** @returns 0, 1 if anything could not be embedded, 2 for wrong options, 130 when interrupted. */
export async function runEmbed(call: CommandCall, compose: ComposeParts): Promise<number> {
  const plan = readEmbedPlan(call);
  if ("fault" in plan) {
    call.tell(`imagesvc: embed: ${plan.fault}\nTry: imagesvc embed --help`);
    return 2;
  }
  try {
    await using output = await openEmbedOutput(call, plan);
    const given = { call, plan, output };
    const code =
      plan.remote === undefined
        ? await embedHere(given, compose)
        : await embedThere(given, plan.remote);
    await output.finish(code === 0);
    return code;
  } catch (error) {
    if (!(error instanceof OutputError)) throw error;
    call.tell(`imagesvc: embed: ${error.message}`);
    return 1;
  }
}

interface Given {
  readonly call: CommandCall;
  readonly plan: EmbedPlan;
  readonly output: EmbedOutput;
}

/** With a model of this process. */
async function embedHere({ call, plan, output }: Given, compose: ComposeParts): Promise<number> {
  return await withLoadedModel(call, compose, plan.model, async (parts, model, stop) => {
    const { embedder, textEmbedder } = parts;
    const run = { call, plan, output, width: widthOf(parts), stop };
    const options = { ...plan, model: model.id, log: call.log, stop };
    if (!plan.isText) return await embedImages(run, createImageWork(embedder, options));
    const refused = await textEmbedder.embed({ ...options, texts: [] }, stop, {});
    if (refused instanceof Problem) {
      call.tell(`imagesvc: embed: ${refused.message}`);
      return 2;
    }
    return await embedTexts(run, createTextWork(textEmbedder, options));
  });
}

/** By a service that runs elsewhere. */
async function embedThere({ call, plan, output }: Given, url: URL): Promise<number> {
  const { config, interrupted } = call;
  const lost = new AbortController();
  const stop = AbortSignal.any([interrupted, lost.signal]);
  try {
    const service = createRemoteService({
      url,
      apiKey: readApiKey(call),
      timeoutMs: 2 * config.REQUEST_TIMEOUT_MS,
      patienceMs: limits.remotePatienceMs,
      stop,
    });
    const model = plan.model ?? (await defaultModelOf(service));
    const run = { call, plan, output, width: limits.remoteWidth, stop };
    const options = { ...plan, service, model, log: call.log, stop };
    return plan.isText
      ? await embedTexts(run, createRemoteTextWork(options))
      : await embedImages(run, createRemoteImageWork(options, config.MAX_IMAGE_BYTES));
  } catch (error) {
    if (interrupted.aborted) return 130;
    if (!(error instanceof RemoteError)) throw error;
    call.tell(`imagesvc: embed: ${error.message}`);
    return 1;
  } finally {
    // What is under way there is of no more use.
    lost.abort();
  }
}

/** @throws RemoteError where the file cannot be read. */
function readApiKey({ config }: CommandCall): string | undefined {
  const { IMAGESVC_API_KEY: key, IMAGESVC_API_KEY_FILE: path } = config;
  if (key !== "" || path === "") return key || undefined;
  try {
    return readFileSync(path, "utf8").trim() || undefined;
  } catch (error) {
    throw new RemoteError(`IMAGESVC_API_KEY_FILE cannot be read (${codeOf(error)})`);
  }
}

/** One run over everything. */
interface Run extends Given {
  /** Images or texts under way at once. */
  readonly width: number;
  readonly stop: AbortSignal;
}

type List<Thing> = (
  operands: readonly string[],
  options: ListOptions,
) => AsyncIterable<Listed<Thing>>;

function embedImages(run: Run, work: Work<ImageSource>): Promise<number> {
  return embedAll(run, listImages, work);
}

function embedTexts(run: Run, work: Work<string>): Promise<number> {
  return embedAll(run, listTexts, work);
}

async function embedAll<Thing>(run: Run, list: List<Thing>, work: Work<Thing>): Promise<number> {
  const { call, plan, output, width, stop } = run;
  const count = { embedded: 0, known: 0, skipped: 0, failed: new Map<string, number>() };
  const options = {
    stdin: () => Bun.stdin.stream(),
    onSkipped: () => {
      count.skipped += 1;
    },
    wants: wantsOf(run, () => {
      count.known += 1;
    }),
  };
  await output.begin();
  const show = startProgress(run, list);
  let failed = 0;
  try {
    const flight = { width, isOrdered: plan.isOrdered, signal: stop };
    for await (const outcomes of mapInFlight(list(plan.operands, options), work, flight)) {
      await output.write(outcomes);
      for (const outcome of outcomes) {
        if ("embedded" in outcome) count.embedded += 1;
        else {
          const { code } = outcome.failed.error;
          count.failed.set(code, (count.failed.get(code) ?? 0) + 1);
          failed += 1;
        }
      }
      show(count.embedded + failed, failed);
    }
  } finally {
    show("end");
    call.tell(summaryOf(count));
  }
  return failed === 0 ? 0 : 1;
}

/** Which things are this run's to do: those of its part that have no vector yet. */
function wantsOf({ plan: { shard }, output: { earlier } }: Given, onKnown: () => void) {
  return (name: string, key: string): boolean => {
    if (shard !== undefined && !isInShard(shard, key)) return false;
    if (earlier === undefined || !earlier.sources.has(name)) return true;
    onKnown();
    return false;
  };
}

/** Shows how far it is, where that does not fall between the records; on a terminal also how far it is to the end. */
function startProgress<Thing>(
  run: Run,
  list: List<Thing>,
): (done: number | "end", failed?: number) => void {
  const { call, stop } = run;
  const { operands, isText, out } = run.plan;
  if (out === undefined && process.stdout.isTTY) return () => {};
  const progress = call.startProgress({ name: isText ? "texts" : "images", size: 1 });
  const total: { value?: number } = {};
  let isOver = false;
  const countBeside = async () => {
    let value = 0;
    const options = { stdin: noStdin, onSkipped: () => {}, wants: wantsOf(run, () => {}) };
    for await (const _ of list(operands, options)) {
      if (isOver || stop.aborted) return;
      value += 1;
    }
    total.value = value;
  };
  // What comes through stdin cannot be counted before it is there.
  if (process.stderr.isTTY && !operands.includes("-")) countBeside().catch(() => {});
  return (done, failed = 0) => {
    if (done !== "end") {
      return progress.show(done, total.value, failed > 0 ? `${failed} failed` : undefined);
    }
    isOver = true;
    progress.end();
  };
}

async function* noStdin(): AsyncGenerator<Uint8Array> {}

interface Count {
  readonly embedded: number;
  /** That an earlier run has done. */
  readonly known: number;
  readonly skipped: number;
  /** By code. */
  readonly failed: ReadonlyMap<string, number>;
}

function summaryOf({ embedded, known, skipped, failed }: Count): string {
  const parts = [`${embedded} embedded`];
  if (known > 0) parts.push(`${known} there already`);
  if (failed.size > 0) {
    const codes = [...failed].sort(([, a], [, b]) => b - a);
    const total = codes.reduce((sum, [, times]) => sum + times, 0);
    parts.push(`${total} failed (${codes.map(([code, times]) => `${times} ${code}`).join(", ")})`);
  }
  if (skipped > 0) parts.push(`${skipped} skipped that are no images`);
  return parts.join(", ");
}
