/** CLIP's files on their way onto this host: found, downloaded where they are missing, and written as our graph. */
import type { Log } from "../log.ts";
import { createDownloadEstimate } from "../models/download-estimate.ts";
import type { PullProgress } from "../models/hub-download.ts";
import type { ModelFiles } from "../models/prepared.ts";
import type { WeightsSupply } from "../models/weights-supply.ts";
import type { BackendState } from "./backend.ts";
import type { Batcher } from "./batcher.ts";
import type { Clock } from "./clock.ts";
import type { WrittenModel } from "./protocol.ts";

type Found = Awaited<ReturnType<WeightsSupply["find"]>>;
type WrittenFiles = Exclude<WrittenModel, { unavailable: string }>;
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
  /** Told whatever requests should hear meanwhile. */
  readonly onState: (state: BackendState) => void;
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
): Promise<ModelFiles | undefined> {
  const { weights, batcher } = options;
  for (let waitMs = firstWaitMs; ; waitMs = Math.min(waitMs * 2, maxWaitMs)) {
    const found = await weights.find();
    const written: WrittenModel = "unavailable" in found ? found : await batcher.writeModel(found);
    if (!("unavailable" in written)) return withWarningLogged(options, written);
    // Until the file is here, workers decode for others.
    await batcher.warmUp(undefined);
    const nextTry = await mendLack(options, terms, found, written);
    if (nextTry === "now") continue;
    if (nextTry === "never" || !terms.keepsTrying) return undefined;
    await options.clock.sleep(waitMs, terms.signal);
  }
}

/** Downloads what is missing, or says why there is no model. @returns when another try may have more success. */
async function mendLack(
  options: ClipFilesOptions,
  terms: ClipFilesTerms,
  found: Found,
  { unavailable, mayPass = false }: Lack,
): Promise<"now" | "later" | "never"> {
  const { weights } = options;
  if (mayPass) {
    const again = terms.keepsTrying ? "The service tries it again now and then." : undefined;
    tellUnavailable(options, terms, joined(unavailable, again));
    return "later";
  }
  const fault = await faultInPlace(weights, found);
  if (weights.download === undefined || !isAbsent(found)) {
    giveUp(options, terms, fault ?? unavailable);
    return "never";
  }
  const failure = await download(weights.download, options, terms);
  if (failure === undefined) return "now";
  giveUp(options, terms, joined(fault, failure.text));
  return failure.mayPass ? "later" : "never";
}

function withWarningLogged({ id, log }: ClipFilesOptions, written: WrittenFiles): ModelFiles {
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

function giveUp(options: ClipFilesOptions, terms: ClipFilesTerms, why: string): void {
  const { mend } = options.weights;
  const ways = `${mend}; or start with CLIP_WEIGHTS=synthetic to try the service without them, or ask for another model with ?model=.`;
  tellUnavailable(options, terms, `${why} ${ways}`);
}

function tellUnavailable(
  { id, log }: ClipFilesOptions,
  { onState }: ClipFilesTerms,
  why: string,
): void {
  log.warn("the model is not available", { model: id, why });
  onState({ kind: "unavailable", why });
}

async function download(
  { bytes, pull }: NonNullable<WeightsSupply["download"]>,
  options: ClipFilesOptions,
  { signal, onState }: ClipFilesTerms,
) {
  const { id, log, clock } = options;
  log.info("the weights are being downloaded", { model: id, bytes });
  const failure = await pull({ signal, onProgress: reporter(id, clock, log, onState) });
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
