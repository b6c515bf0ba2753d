/** CLIP's files on their way onto this host: found, downloaded where they are missing, and written as our graph. */
import type { Log } from "../log.ts";
import { createDownloadEstimate } from "../models/download-estimate.ts";
import type { PullProgress, Setback } from "../models/hub-download.ts";
import type { WeightsSupply } from "../models/weights-supply.ts";
import type { BackendState } from "./backend.ts";
import type { Batcher } from "./batcher.ts";
import type { Clock } from "./clock.ts";
import type { ModelToWrite, WrittenModel } from "./protocol.ts";

type Found = Awaited<ReturnType<WeightsSupply["find"]>>;
/** Both towers, on this host, and what they were made from. */
export type WrittenFiles = Exclude<WrittenModel, { unavailable: string }> & {
  readonly model: ModelToWrite;
};
type Lack = Extract<WrittenModel, { unavailable: string }>;

export interface ClipFilesOptions {
  /** What requests call the model. */
  readonly id: string;
  readonly weights: WeightsSupply;
  readonly batcher: Pick<Batcher, "writeModel" | "warmUp">;
  readonly clock: Clock;
  readonly log: Log;
}

/** How it is done. */
export interface ClipFilesTerms {
  readonly signal: AbortSignal;
  /** Whether a download that failed, or a disk that was full, is tried again, as often as it takes. */
  readonly keepsTrying: boolean;
  /** Told whatever requests should hear meanwhile; and when the next try is, in ms on the clock's scale. */
  readonly onState: (state: BackendState, nextTryAt?: number) => void;
}

/** How one try is done. */
interface TryTerms extends ClipFilesTerms {
  /** From this try to the next one, if there is one. */
  readonly waitMs: number;
}

const firstWaitMs = 15_000;
const maxWaitMs = 600_000;
const logIntervalMs = 10_000;

/**
 * Brings both towers onto this host.
 *
 * @returns undefined when they cannot be had; `onState` was told why.
 * @throws the signal's reason; Problem `shutting-down`; Error of the file system.
 */
export async function obtainClipFiles(
  options: ClipFilesOptions,
  terms: ClipFilesTerms,
): Promise<WrittenFiles | undefined> {
  const { weights, batcher } = options;
  for (let waitMs = firstWaitMs; ; waitMs = Math.min(waitMs * 2, maxWaitMs)) {
    const found = await weights.find();
    const written = await write(batcher, found);
    if ("model" in written) return withWarningLogged(options, written);
    // Until the file is here, workers decode for others.
    await batcher.warmUp(undefined);
    const nextTry = await mendLack(options, { ...terms, waitMs }, found, written);
    if (nextTry === "now") continue;
    if (nextTry === "never" || !terms.keepsTrying) return undefined;
    await options.clock.sleep(waitMs, terms.signal);
  }
}

/** Downloads what is missing, or says why there is no model. @returns when another try may have more success. */
async function mendLack(
  options: ClipFilesOptions,
  terms: TryTerms,
  found: Found,
  { unavailable, mayPass = false }: Lack,
): Promise<"now" | "later" | "never"> {
  const { weights } = options;
  if (mayPass) {
    tellUnavailable(options, terms, { why: unavailable, mayPass });
    return "later";
  }
  const fault = await faultInPlace(weights, found);
  if (weights.download === undefined || !isAbsent(found)) {
    tellUnavailable(options, terms, { why: fault ?? unavailable, mayPass, ways: waysOf(options) });
    return "never";
  }
  if (fault !== undefined) options.log.warn(fault, { model: options.id });
  const failure = await download(weights.download, options, terms);
  if (failure === undefined) return "now";
  const why = joined(fault, failure.text);
  tellUnavailable(options, terms, { why, mayPass: failure.mayPass, ways: waysOf(options) });
  return failure.mayPass ? "later" : "never";
}

async function write(
  batcher: ClipFilesOptions["batcher"],
  found: Found,
): Promise<WrittenFiles | Lack> {
  if ("unavailable" in found) return found;
  const written: WrittenModel = await batcher.writeModel(found);
  return "unavailable" in written ? written : { ...written, model: found };
}

function withWarningLogged({ id, log }: ClipFilesOptions, written: WrittenFiles): WrittenFiles {
  if (written.warning !== undefined) log.warn(written.warning, { model: id });
  return written;
}

async function faultInPlace(weights: WeightsSupply, found: Found): Promise<string | undefined> {
  return isAbsent(found) ? await weights.findFault() : undefined;
}

function joined(...sentences: readonly (string | undefined)[]): string {
  return sentences.filter((sentence) => sentence !== undefined).join(" ");
}

/** Whether the weights are what is missing, so that a download helps. */
function isAbsent(found: Found): boolean {
  return "from" in found && found.from.kind === "weights" && found.from.path === undefined;
}

/** How an operator gets the weights, or does without. */
function waysOf({ weights: { mend } }: ClipFilesOptions): string {
  return `${mend}; or start with CLIP_WEIGHTS=synthetic to try the service without them, or ask for another model with ?model=.`;
}

function tellUnavailable(
  { id, clock, log }: ClipFilesOptions,
  { keepsTrying, onState, waitMs }: TryTerms,
  lack: { readonly why: string; readonly mayPass: boolean; readonly ways?: string },
): void {
  const isTriedAgain = keepsTrying && lack.mayPass;
  const again = isTriedAgain ? "The service tries it again now and then." : undefined;
  const why = joined(lack.why, again, lack.ways);
  log.warn("the model is not available", { model: id, why });
  onState({ kind: "unavailable", why }, isTriedAgain ? clock.now() + waitMs : undefined);
}

async function download(
  { bytes, pull }: NonNullable<WeightsSupply["download"]>,
  options: ClipFilesOptions,
  { signal, onState }: ClipFilesTerms,
) {
  const { id, log, clock } = options;
  log.info("the weights are being downloaded", { model: id, bytes });
  const onWait = () => log.info("another process downloads the weights", { model: id });
  const onSetback = ({ reason, waitMs }: Setback) => {
    const why = `The weights could not be downloaded yet: ${reason}. The service tries it again.`;
    // A command has nobody who asks for its state: without this line it would be silent for half a minute.
    log.info("the download is tried again", { model: id, why: reason, in_s: waitMs / 1000 });
    onState({ kind: "loading", why }, clock.now() + waitMs);
  };
  const onProgress = reporter(id, clock, log, onState);
  const failure = await pull({ signal, onProgress, onWait, onSetback });
  if (failure === undefined) {
    onState({ kind: "loading", why: "The weights are being prepared." });
    return undefined;
  }
  const text = `The weights could not be downloaded: ${failure.sentence}.`;
  return { text, mayPass: failure.mayPass };
}

/** Turns progress into what requests hear, and now and then into a log line. */
function reporter(id: string, clock: Clock, log: Log, onState: ClipFilesTerms["onState"]) {
  const estimate = createDownloadEstimate(clock.now);
  let loggedAt = clock.now();
  return (progress: PullProgress): void => {
    const { percent, leftS } = estimate(progress);
    const left = leftS === undefined ? {} : { retryAfterS: Math.max(1, leftS) };
    const why = `The weights are being downloaded: ${percent} % of ${Math.round(progress.totalBytes / 1e6)} MB.`;
    onState({ kind: "loading", why, ...left });
    if (clock.now() - loggedAt < logIntervalMs) return;
    loggedAt = clock.now();
    log.info("the weights are being downloaded", { model: id, percent, left_s: leftS });
  };
}
