/** `imagesvc embed`: many images or texts, one record each. */
import { Problem } from "../errors.ts";
import type { CommandCall } from "./command-call.ts";
import { createImageWork, createTextWork, type Outcome } from "./embed-outcome.ts";
import { type EmbedPlan, readEmbedPlan } from "./embed-plan.ts";
import { mapInFlight } from "./in-flight.ts";
import { type LineOutput, OutputError, openLines, printLines } from "./line-output.ts";
import { type ComposeParts, widthOf, withLoadedModel } from "./loaded-model.ts";
import { type Listed, type ListOptions, listImages, listTexts } from "./source-list.ts";

/** @returns 0, 1 if anything could not be embedded, 2 for wrong options, 130 when interrupted. */
export async function runEmbed(call: CommandCall, compose: ComposeParts): Promise<number> {
  const plan = readEmbedPlan(call);
  if ("fault" in plan) {
    call.tell(`imagesvc: embed: ${plan.fault}\nTry: imagesvc embed --help`);
    return 2;
  }
  try {
    await using out = plan.out === undefined ? printLines(call.print) : await openLines(plan.out);
    await using ownErrors = plan.errors === undefined ? undefined : await openLines(plan.errors);
    const outputs = { out, errors: ownErrors ?? out };
    return await withLoadedModel(call, compose, plan.model, async (parts, model, stop) => {
      const { embedder, textEmbedder } = parts;
      const run = { call, plan, outputs, width: widthOf(parts), stop };
      const options = { ...plan, model: model.id, log: call.log, stop };
      if (!plan.isText) {
        return await embedAll(run, listImages, createImageWork(embedder, options));
      }
      const refused = await textEmbedder.embed({ ...options, texts: [] }, stop, {});
      if (refused instanceof Problem) {
        call.tell(`imagesvc: embed: ${refused.message}`);
        return 2;
      }
      return await embedAll(run, listTexts, createTextWork(textEmbedder, options));
    });
  } catch (error) {
    if (!(error instanceof OutputError)) throw error;
    call.tell(`imagesvc: embed: ${error.message}`);
    return 1;
  }
}

/** One run over everything. */
interface Run {
  readonly call: CommandCall;
  readonly plan: EmbedPlan;
  /** For records, and for what could not be embedded; perhaps the same. */
  readonly outputs: Readonly<Record<"out" | "errors", LineOutput>>;
  /** Images or texts under way at once. */
  readonly width: number;
  readonly stop: AbortSignal;
}

type List<Thing> = (
  operands: readonly string[],
  options: ListOptions,
) => AsyncIterable<Listed<Thing>>;

async function embedAll<Thing>(
  { call, plan, outputs: { out, errors }, width, stop }: Run,
  list: List<Thing>,
  work: (listed: Listed<Thing>) => Promise<Outcome>,
): Promise<number> {
  const count = { embedded: 0, failed: 0, skipped: 0 };
  const onSkipped = () => {
    count.skipped += 1;
  };
  await out.begin();
  await errors.begin();
  const show = startProgress(call, plan, list, stop);
  try {
    const found = list(plan.operands, { stdin: () => Bun.stdin.stream(), onSkipped });
    const flight = { width, isOrdered: plan.isOrdered, signal: stop };
    for await (const { isEmbedded, record } of mapInFlight(found, work, flight)) {
      await (isEmbedded ? out : errors).write(record);
      count[isEmbedded ? "embedded" : "failed"] += 1;
      show(count.embedded + count.failed);
    }
  } finally {
    show("end");
    call.tell(summaryOf(count));
  }
  return count.failed === 0 ? 0 : 1;
}

/** Shows how far it is, where that does not fall between the records; on a terminal also how far it is to the end. */
function startProgress<Thing>(
  call: CommandCall,
  { operands, isText, out }: EmbedPlan,
  list: List<Thing>,
  stop: AbortSignal,
): (done: number | "end") => void {
  if (out === undefined && process.stdout.isTTY) return () => {};
  const progress = call.startProgress({ name: isText ? "texts" : "images", size: 1 });
  const total: { value?: number } = {};
  let isOver = false;
  const countBeside = async () => {
    let value = 0;
    for await (const _ of list(operands, { stdin: noStdin, onSkipped: () => {} })) {
      if (isOver || stop.aborted) return;
      value += 1;
    }
    total.value = value;
  };
  // What comes through stdin cannot be counted before it is there.
  if (process.stderr.isTTY && !operands.includes("-")) countBeside().catch(() => {});
  return (done) => {
    if (done !== "end") return progress.show(done, total.value);
    isOver = true;
    progress.end();
  };
}

async function* noStdin(): AsyncGenerator<Uint8Array> {}

function summaryOf(count: Readonly<Record<"embedded" | "failed" | "skipped", number>>): string {
  const parts = [`${count.embedded} embedded`];
  if (count.failed > 0) parts.push(`${count.failed} failed`);
  if (count.skipped > 0) parts.push(`${count.skipped} skipped that are no images`);
  return parts.join(", ");
}
