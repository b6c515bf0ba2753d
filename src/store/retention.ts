/** How long images are kept: what is too old, or too much, is deleted. */
import { setTimeout as wait } from "node:timers/promises";
import { messageOf } from "../errors.ts";
import type { Log } from "../log.ts";
import type { ClockWatch } from "./clock-watch.ts";
import { deleteUnlessKeptAgain, type KeptImage, keptImages } from "./kept-images.ts";

/** What the operator wants. */
export interface RetentionRule {
  /** ms since the last request for an image; 0: for ever. */
  readonly maxAgeMs: number;
  /** Bytes of all images; 0: no limit. */
  readonly maxBytes: number;
}

interface PruneOptions {
  readonly directory: string;
  readonly rule: RetentionRule;
  /** ms since 1970. */
  readonly nowMs: number;
  /** Images that may wait to be deleted for the bytes at once: a bound of memory. */
  readonly maxHeld: number;
  /** Deletes an image; @returns whether it is gone. */
  readonly remove: (image: KeptImage) => Promise<boolean>;
  readonly signal: AbortSignal;
}

/** What pruning came to. */
interface Pruned {
  readonly deleted: number;
  readonly deletedBytes: number;
  readonly kept: number;
  readonly keptBytes: number;
}

/**
 * Deletes the images that are too old, and then the oldest ones until the rest is not too much.
 *
 * @throws the signal's reason when it aborts; Error of the file system.
 */
export async function prune(options: PruneOptions): Promise<Pruned> {
  const { directory, nowMs, maxHeld, remove, signal } = options;
  const { maxAgeMs, maxBytes } = options.rule;
  const sums = { deleted: 0, deletedBytes: 0, kept: 0, keptBytes: 0 };
  const remaining = createOldest(maxHeld);
  for await (const image of keptImages(directory)) {
    signal.throwIfAborted();
    sums.kept += 1;
    sums.keptBytes += image.sizeBytes;
    if (maxAgeMs > 0 && nowMs - image.keptAtMs > maxAgeMs) await removeCounted(image);
    else if (maxBytes > 0) remaining.add(image);
  }
  for (const image of maxBytes > 0 ? remaining.take() : []) {
    signal.throwIfAborted();
    if (sums.keptBytes <= maxBytes) break;
    await removeCounted(image);
  }
  return sums;

  async function removeCounted(image: KeptImage): Promise<void> {
    if (!(await remove(image))) return;
    sums.kept -= 1;
    sums.keptBytes -= image.sizeBytes;
    sums.deleted += 1;
    sums.deletedBytes += image.sizeBytes;
  }
}

/** Remembers the oldest of many images, in little memory. */
function createOldest(maxHeld: number) {
  let held: KeptImage[] = [];
  const take = () => {
    held = held.sort((a, b) => a.keptAtMs - b.keptAtMs).slice(0, maxHeld);
    return held;
  };
  return {
    add: (image: KeptImage) => {
      held.push(image);
      if (held.length > 2 * maxHeld) take();
    },
    /** Oldest first. */
    take,
  };
}

interface RetentionOptions {
  readonly directory: string;
  readonly rule: RetentionRule;
  readonly maxHeld: number;
  readonly intervalMs: number;
  readonly clockWatch: ClockWatch;
  readonly log: Log;
}

/** Deletes kept images in the background. */
export interface Retention {
  /** Resolves once nothing is being deleted any more. */
  stop(): Promise<void>;
}

/** Share of a core that looking through a very large folder may take in the long run: one in twenty. */
const pausePerWork = 19;

/**
 * Prunes at once and from then on, in the background. Nothing happens where nothing is limited, and nothing is
 * too old while the clock is doubted.
 */
export function startRetention(options: RetentionOptions): Retention {
  const { directory, maxHeld, intervalMs, clockWatch, log } = options;
  const controller = new AbortController();
  const { signal } = controller;
  const remove = (image: KeptImage) => deleteUnlessKeptAgain(directory, image);
  let isDoubted = false;

  /** The rule without its age while every image may look too old. */
  function ruleNow(): RetentionRule {
    const doubtedMs = options.rule.maxAgeMs > 0 ? clockWatch.doubtedMs() : 0;
    if (doubtedMs > 0 && !isDoubted) {
      const ahead_s = Math.round(doubtedMs / 1000);
      log.warn("the clock was set ahead: for a day no image is deleted for its age", { ahead_s });
    }
    isDoubted = doubtedMs > 0;
    return isDoubted ? { ...options.rule, maxAgeMs: 0 } : options.rule;
  }

  async function tidy(): Promise<void> {
    try {
      const nowMs = Date.now();
      const rule = ruleNow();
      const pruned = await prune({ directory, rule, nowMs, maxHeld, remove, signal });
      if (pruned.deleted > 0) log.info("kept images were deleted", fieldsOf(pruned));
    } catch (error) {
      if (!signal.aborted) log.warn("kept images cannot be deleted", { cause: messageOf(error) });
    }
  }

  async function repeat(): Promise<void> {
    while (!signal.aborted) {
      const startedAt = performance.now();
      await tidy();
      const pauseMs = Math.max(intervalMs, pausePerWork * (performance.now() - startedAt));
      await wait(pauseMs, undefined, { signal, ref: false }).catch(() => {});
    }
  }

  const isLimited = options.rule.maxAgeMs > 0 || options.rule.maxBytes > 0;
  const running = isLimited ? repeat() : Promise.resolve();
  return {
    stop: async () => {
      controller.abort();
      await running;
    },
  };
}

function fieldsOf({ deleted, deletedBytes, kept, keptBytes }: Pruned) {
  return { deleted, deleted_bytes: deletedBytes, kept, kept_bytes: keptBytes };
}
