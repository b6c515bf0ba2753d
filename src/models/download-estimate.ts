/** What a download says of itself while it runs. */
import type { PullProgress } from "./hub-download.ts";

/** How far a download is, and how long it will still take. */
export interface DownloadEstimate {
  /** Whole percent, 0 to 100. */
  readonly percent: number;
  /** Reckoned from the rate so far; undefined until something came. */
  readonly leftS: number | undefined;
}

/**
 * Makes the function that reckons, to be called with each progress.
 *
 * @param now ms on any scale.
 */
export function createDownloadEstimate(
  now: () => number,
): (progress: PullProgress) => DownloadEstimate {
  let first: { readonly receivedBytes: number; readonly at: number } | undefined;
  return ({ receivedBytes, totalBytes }) => {
    // What an earlier process had downloaded is no part of the rate; nor is what was begun anew.
    if (first === undefined || receivedBytes < first.receivedBytes) {
      first = { receivedBytes, at: now() };
    }
    const came = receivedBytes - first.receivedBytes;
    const leftMs = ((totalBytes - receivedBytes) * (now() - first.at)) / came;
    const percent = Math.floor((100 * receivedBytes) / totalBytes);
    return { percent, leftS: came > 0 ? Math.ceil(leftMs / 1000) : undefined };
  };
}
