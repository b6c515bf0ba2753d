/** Where the records of `imagesvc embed` go: lines of JSON, or a journal of them that becomes another file. */
import { rm, stat } from "node:fs/promises";
import { codeOf } from "../errors.ts";
import { writeNpy, writeParquet } from "../store/vector-file.ts";
import type { CommandCall } from "./command-call.ts";
import type { Outcome } from "./embed-outcome.ts";
import type { EmbedPlan } from "./embed-plan.ts";
import {
  type EmbeddedRecord,
  readJournalLine,
  toFailedLine,
  toJournalLine,
  toLine,
} from "./embed-record.ts";
import { type Earlier, readEarlier, wholeLines } from "./embed-resume.ts";
import { inWords, type LineOutput, OutputError, openLines, printLines } from "./line-output.ts";

/** Disposing of it closes its files. */
export interface EmbedOutput extends AsyncDisposable {
  /** What an earlier run has done; undefined where all is done anew. */
  readonly earlier: Earlier | undefined;
  /** Makes it ready for records, and empties what is not gone on with. @throws OutputError. */
  begin(): Promise<void>;
  /** Writes what came together, in its order, with one write of each file. @throws OutputError. */
  write(outcomes: readonly Outcome[]): Promise<void>;
  /**
   * Makes the file out of its journal, where there is one. To be called once, also for a run that was interrupted;
   * nothing is done where none had begun.
   *
   * @param isComplete whether all was embedded: the journal is then of no more use, unless the run is one of several.
   * @throws OutputError.
   */
  finish(isComplete: boolean): Promise<void>;
}

/** Opens what a plan asks for. @throws OutputError. */
export async function openEmbedOutput(
  { print, tell }: Pick<CommandCall, "print" | "tell">,
  plan: EmbedPlan,
): Promise<EmbedOutput> {
  const { out } = plan;
  await using opened = new AsyncDisposableStack();
  const journal =
    out !== undefined && out.format !== "jsonl" ? `${out.path}.journal.jsonl` : undefined;
  if (journal !== undefined && plan.resume) await refuseWithoutJournal(out?.path ?? "", journal);
  const path = journal ?? out?.path;
  const earlier = path !== undefined && plan.resume ? await readEarlier(path) : undefined;
  if (path !== undefined && earlier?.model !== undefined) {
    refuseOtherLength(path, plan, earlier.isNormalized);
  }
  const records = path === undefined ? printLines(print) : await openLines(path, plan.resume);
  opened.use(records);
  const failures = await openFailures(plan, records, print);
  if (failures !== records) opened.use(failures);
  const closing = opened.move();
  const format = journal === undefined ? toLine : toJournalLine;
  let { model } = earlier ?? {};
  const refusalOf = (now: string) => {
    model ??= now;
    return path === undefined ? undefined : otherModel(path, model, now);
  };
  let hasBegun = false;
  return {
    earlier,
    begin: async () => {
      await records.begin();
      await failures.begin();
      hasBegun = true;
    },
    write: async (outcomes) => {
      const lines: DirectedLine[] = [];
      let refusal: OutputError | undefined;
      for (const outcome of outcomes) {
        if ("failed" in outcome) lines.push({ to: failures, line: toFailedLine(outcome.failed) });
        else {
          refusal = refusalOf(outcome.embedded.model);
          if (refusal !== undefined) break;
          lines.push({ to: records, line: format(outcome.embedded) });
        }
      }
      await writeTogether(lines);
      // What came before it is kept.
      if (refusal !== undefined) throw refusal;
    },
    finish: async (isComplete) => {
      if (journal === undefined || out === undefined || !hasBegun) return;
      tell(`writing ${out.path}`);
      await inWords(out.path, () => convert(journal, out, plan.isText));
      if (isComplete && !plan.resume) await rm(journal, { force: true });
      else if (!isComplete) {
        tell(`${journal} has what is done: the same command with --resume does the rest`);
      }
    },
    [Symbol.asyncDispose]: () => closing.disposeAsync(),
  };
}

/** A line, and where it goes. */
interface DirectedLine {
  readonly to: LineOutput;
  readonly line: Uint8Array;
}

/** Writes lines in their order, with one write of each output. @throws OutputError of one, once all were tried. */
async function writeTogether(lines: readonly DirectedLine[]): Promise<void> {
  const byOutput = Map.groupBy(lines, ({ to }) => to);
  const written = await Promise.allSettled(
    [...byOutput].map(([to, own]) => to.write(Buffer.concat(own.map(({ line }) => line)))),
  );
  for (const one of written) if (one.status === "rejected") throw one.reason;
}

/** A journal has vectors alone: what failed is printed, unless it has a file of its own. */
async function openFailures(
  { errors, out }: EmbedPlan,
  records: LineOutput,
  print: CommandCall["print"],
): Promise<LineOutput> {
  if (errors !== undefined) return await openLines(errors);
  return out === undefined || out.format === "jsonl" ? records : printLines(print);
}

/** A file that was made without --resume has no journal any more. */
async function refuseWithoutJournal(path: string, journal: string): Promise<void> {
  if (!(await isThere(path)) || (await isThere(journal))) return;
  throw new OutputError(
    `${path} is complete, and ${journal}, which a run could go on with, is gone: name another file, or leave out --resume to make it anew`,
  );
}

const anew = "name another file, or leave out --resume to write it anew";

/** Vectors of two models in one file would be of no use. */
function otherModel(path: string, model: string, now: string): OutputError | undefined {
  if (model === now) return undefined;
  return new OutputError(`${path} has vectors of ${model}, and these are of ${now}: ${anew}`);
}

function refuseOtherLength(path: string, { normalize }: EmbedPlan, isNormalized: boolean): void {
  if (normalize === isNormalized) return;
  const has = isNormalized ? "has vectors of unit length" : "has raw vectors";
  const mend = normalize ? "leave out --normalize" : "add --normalize";
  throw new OutputError(`${path} ${has}: ${mend}, or ${anew}`);
}

async function isThere(path: string): Promise<boolean> {
  return await stat(path).then(
    () => true,
    (error: unknown) => codeOf(error) !== "ENOENT",
  );
}

async function convert(
  journal: string,
  { path, format }: NonNullable<EmbedPlan["out"]>,
  isText: boolean,
): Promise<void> {
  const rows = readJournal(journal);
  if (format === "npy") await writeNpy(path, rows);
  else await writeParquet(path, rows, isText ? "texts" : "images");
}

async function* readJournal(journal: string): AsyncGenerator<EmbeddedRecord> {
  for await (const { line } of wholeLines(journal)) {
    const record = readJournalLine(line);
    if (record === undefined) {
      throw new OutputError(
        `${journal} has lines that are not whole: name another file, or leave out --resume to make it anew`,
      );
    }
    yield record;
  }
}
