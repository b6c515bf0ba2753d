/** Fills a partial file from a hub, through cuts, silences and refusals. */
import type { Clock } from "../backends/clock.ts";
import { codeOf, messageOf } from "../errors.ts";
import type { WeightsSource } from "./catalog.ts";
import { continuesAt, judge, type Reception } from "./hub-answer.ts";
import { type HubAccess, requestFile } from "./hub-request.ts";
import type { PartialFile } from "./partial-file.ts";

/** How far a download is. */
export interface PullProgress {
  readonly receivedBytes: number;
  readonly totalBytes: number;
}

export interface DownloadOptions extends HubAccess {
  readonly clock: Clock;
  /** No byte for so long: the connection is given up, and asked for anew. */
  readonly silenceMs: number;
}

/** What a download is asked to do, beside the file itself. */
export interface DownloadTerms {
  readonly signal: AbortSignal;
  readonly onProgress: (progress: PullProgress) => void;
  /** Hears once that another process downloads the same file, and is waited for. */
  readonly onWait?: () => void;
  /** Hears why a try brought nothing, and when the next one is. */
  readonly onSetback?: (setback: Setback) => void;
}

/** A try that was in vain; another follows. */
export interface Setback {
  /** One clause. */
  readonly reason: string;
  readonly waitMs: number;
}

/** One sentence about why there is no file, and whether another try may help. */
export interface PullFailure {
  readonly kind: "failed";
  readonly sentence: string;
  readonly mayPass: boolean;
}

/** Tries in a row that bring nothing. */
const maxBarrenTries = 5;
const maxWaitMs = 60_000;

/**
 * Downloads what is missing of a file, and checks the whole by its SHA-256.
 *
 * @returns undefined once the bytes are there and right.
 * @throws Error of the file system; the signal's reason. What came stays for the next try.
 */
export async function fillFromHub(
  options: DownloadOptions,
  part: PartialFile,
  file: WeightsSource,
  terms: DownloadTerms,
): Promise<PullFailure | undefined> {
  // What an earlier process left may be damaged: then once more from the first byte.
  for (let copies = 0; copies < 2; copies += 1) {
    const failure = await untilLong(options, part, file, terms);
    if (failure !== undefined) return failure;
    if (part.digest() === file.sha256) return undefined;
    await part.restart();
  }
  return failed("the hub's file is not the published one: its SHA-256 is another");
}

/** Asks again and again until the file has its length. */
async function untilLong(
  options: DownloadOptions,
  part: PartialFile,
  file: WeightsSource,
  terms: DownloadTerms,
): Promise<PullFailure | undefined> {
  let most = part.size();
  for (let barren = 0; part.size() < file.bytes; ) {
    const end = await receive(options, part, file, terms);
    if (end === undefined) break;
    if (end.kind === "fatal") return { ...failed(end.sentence), mayPass: end.mayPass ?? false };
    // What is begun anew brings nothing until it is longer than before.
    barren = part.size() > most ? 0 : barren + 1;
    most = Math.max(most, part.size());
    if (barren === maxBarrenTries) return { ...failed(end.reason), mayPass: true };
    const waitMs = Math.min(end.waitMs ?? 1000 * 2 ** barren, maxWaitMs);
    if (barren > 0) terms.onSetback?.({ reason: end.reason, waitMs });
    await options.clock.sleep(waitMs, terms.signal);
  }
  return undefined;
}

export function failed(sentence: string): PullFailure {
  return { kind: "failed", sentence, mayPass: false };
}

/** Asks for what is missing, and takes what comes. */
async function receive(
  access: DownloadOptions,
  part: PartialFile,
  file: WeightsSource,
  { signal, onProgress }: DownloadTerms,
): Promise<Reception | undefined> {
  const silence = createSilenceGuard(signal, access.silenceMs);
  const heard = () => {
    silence.heard();
    onProgress({ receivedBytes: part.size(), totalBytes: file.bytes });
  };
  try {
    const answer = await requestFile(access, urlOf(access, file), part.size(), silence.signal);
    const { response, linkedSha256 } = answer;
    const refusal = judge(response, file, linkedSha256, access.token !== "");
    if (refusal === undefined) return await takeBody(response, part, file.bytes, heard);
    // The server holds less than we do: what we have is not its file.
    if (response.status === 416) await part.restart();
    await response.body?.cancel();
    return refusal;
  } catch (error) {
    signal.throwIfAborted();
    if (isFileSystemError(error)) throw error;
    const reason = silence.signal.aborted ? "the hub fell silent" : failureOf(error);
    return { kind: "cut", reason };
  } finally {
    silence.end();
  }
}

async function takeBody(
  response: Response,
  part: PartialFile,
  totalBytes: number,
  heard: () => void,
): Promise<Reception | undefined> {
  if (!continuesAt(response, part.size(), totalBytes)) {
    await part.restart();
    // What a server sends under a false range belongs nowhere.
    if (response.status === 206) return { kind: "cut", reason: "the hub sent another range" };
  }
  for await (const chunk of response.body ?? []) {
    if (part.size() + chunk.byteLength > totalBytes) {
      await part.restart();
      return { kind: "fatal", sentence: "the hub's file is longer than the published one" };
    }
    await part.append(chunk);
    heard();
  }
  return part.size() === totalBytes ? undefined : { kind: "cut", reason: "the connection was cut" };
}

function urlOf({ endpoint }: HubAccess, { repository, revision, path }: WeightsSource): URL {
  return new URL(`/${repository}/resolve/${revision}/${path}`, endpoint);
}

/** A signal that aborts with the caller's, and when nothing is heard for too long. */
function createSilenceGuard(caller: AbortSignal, silenceMs: number) {
  const controller = new AbortController();
  const abort = () => controller.abort();
  const leave = () => controller.abort(caller.reason);
  caller.addEventListener("abort", leave, { once: true });
  if (caller.aborted) leave();
  let timer = setTimeout(abort, silenceMs);
  return {
    signal: controller.signal,
    heard: () => {
      clearTimeout(timer);
      timer = setTimeout(abort, silenceMs);
    },
    end: () => {
      clearTimeout(timer);
      caller.removeEventListener("abort", leave);
      controller.abort();
    },
  };
}

/** A failure of the disk, not of the connection. */
export function isFileSystemError(error: unknown): boolean {
  return fileSystemCodes.includes(codeOf(error));
}

const fileSystemCodes = [
  "ENOSPC",
  "EDQUOT",
  "EACCES",
  "EPERM",
  "EROFS",
  "ENOTDIR",
  "EEXIST",
  "EIO",
];

/** A connection's failure by its code: messages may quote addresses. */
function failureOf(error: unknown): string {
  const code = codeOf(error);
  if (code !== "") {
    return `the hub cannot be reached (${code}): check the network, HTTPS_PROXY or HF_ENDPOINT`;
  }
  return messageOf(error);
}
