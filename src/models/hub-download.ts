/** Fills a partial file from a hub, through cuts, silences and refusals. */
import type { Clock } from "../backends/clock.ts";
import { codeOf, messageOf } from "../errors.ts";
import { parseRetryAfter } from "../net/retry-after.ts";
import type { WeightsSource } from "./catalog.ts";
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
    if (end.kind === "fatal") return failed(end.sentence);
    // What is begun anew brings nothing until it is longer than before.
    barren = part.size() > most ? 0 : barren + 1;
    most = Math.max(most, part.size());
    if (barren === maxBarrenTries) return { ...failed(end.reason), mayPass: true };
    const waitMs = end.waitMs ?? 1000 * 2 ** barren;
    await options.clock.sleep(Math.min(waitMs, maxWaitMs), terms.signal);
  }
  return undefined;
}

export function failed(sentence: string): PullFailure {
  return { kind: "failed", sentence, mayPass: false };
}

/** Why a request did not bring all that was missing. */
type Reception =
  /** Another try may bring more. */
  | { readonly kind: "cut"; readonly reason: string; readonly waitMs?: number }
  | { readonly kind: "fatal"; readonly sentence: string };

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
    const refusal = judge(response, file, linkedSha256);
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

/** @returns undefined where the answer brings bytes. */
function judge(
  { status, headers }: Response,
  { sha256 }: WeightsSource,
  linkedSha256: string | undefined,
): Reception | undefined {
  if (status === 200 || status === 206) {
    return linkedSha256 === undefined || linkedSha256 === sha256
      ? undefined
      : { kind: "fatal", sentence: "the hub has another file under this name" };
  }
  if (status === 401 || status === 403) {
    return { kind: "fatal", sentence: `the hub refuses (${status}): set HF_TOKEN` };
  }
  if (status === 404) {
    return { kind: "fatal", sentence: "the hub does not have the file (404): check HF_ENDPOINT" };
  }
  const waitS = parseRetryAfter(headers.get("retry-after"), Date.now());
  const wait = waitS === undefined ? {} : { waitMs: waitS * 1000 };
  return { kind: "cut", reason: `the hub answers ${status}`, ...wait };
}

/** Whether a 206 begins at the byte that was asked for; a 200 always begins at the first. */
function continuesAt({ status, headers }: Response, fromByte: number, totalBytes: number): boolean {
  if (status === 200) return fromByte === 0;
  const [, first, total] =
    /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(headers.get("content-range") ?? "") ?? [];
  return Number(first) === fromByte && (total === "*" || Number(total) === totalBytes);
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
