/** What the answer of a hub, or of the host behind it, means. */
import { parseRetryAfter } from "../net/retry-after.ts";
import type { WeightsSource } from "./catalog.ts";

/** Why a request did not bring all that was missing. */
export type Reception =
  /** Another try may bring more. */
  | { readonly kind: "cut"; readonly reason: string; readonly waitMs?: number }
  | { readonly kind: "fatal"; readonly sentence: string; readonly mayPass?: boolean };

/**
 * Judges an answer by its status and headers.
 *
 * @param linkedSha256 what the hub itself says about the file.
 * @param hasToken whether HF_TOKEN is set.
 * @returns undefined where the answer brings bytes of the file.
 */
export function judge(
  { status, headers }: Response,
  { sha256 }: WeightsSource,
  linkedSha256: string | undefined,
  hasToken: boolean,
): Reception | undefined {
  if (status === 200 || status === 206) {
    return linkedSha256 === undefined || linkedSha256 === sha256
      ? judgeBody(headers)
      : { kind: "fatal", sentence: "the hub has another file under this name" };
  }
  if (status === 401 || status === 403) {
    const sentence = hasToken
      ? `the hub refuses HF_TOKEN (${status}): give one that may read the file`
      : `the hub refuses (${status}): set HF_TOKEN`;
    return { kind: "fatal", sentence };
  }
  if (status === 404) {
    return { kind: "fatal", sentence: "the hub does not have the file (404): check HF_ENDPOINT" };
  }
  if (status >= 400 && status < 500 && !passing.includes(status)) {
    const sentence = `the hub refuses the request (${status}): check HF_ENDPOINT and HTTPS_PROXY`;
    return { kind: "fatal", sentence };
  }
  const waitS = parseRetryAfter(headers.get("retry-after"), Date.now());
  const wait = waitS === undefined ? {} : { waitMs: waitS * 1000 };
  return { kind: "cut", reason: `the hub answers ${status}`, ...wait };
}

/** Refusals that another try may not meet: too slow, another range, too early, too often. */
const passing: readonly number[] = [408, 416, 425, 429];

/** @returns what a successful answer brings in the file's place, as far as its head tells. */
function judgeBody(headers: Headers): Reception | undefined {
  if (/^text\/html\b/i.test(headers.get("content-type") ?? "")) {
    const sentence =
      "a web page came in place of the file: sign in to the network, or check HTTPS_PROXY and HF_ENDPOINT";
    return { kind: "fatal", sentence, mayPass: true };
  }
  if ((headers.get("content-encoding") ?? "identity") === "identity") return undefined;
  const sentence =
    "the file came compressed, which was not asked for: check HTTPS_PROXY and HF_ENDPOINT";
  return { kind: "fatal", sentence };
}

/** Whether a 206 begins at the byte that was asked for; a 200 always begins at the first. */
export function continuesAt(
  { status, headers }: Response,
  fromByte: number,
  totalBytes: number,
): boolean {
  if (status === 200) return fromByte === 0;
  const [, first, total] =
    /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(headers.get("content-range") ?? "") ?? [];
  return Number(first) === fromByte && (total === "*" || Number(total) === totalBytes);
}
