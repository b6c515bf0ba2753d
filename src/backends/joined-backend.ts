/** A model that makes the vector of the same image once for all who ask for it at the same time. */
import { Problem } from "../errors.ts";
import type { BackendOutcome, EmbedJob, ImageBackend } from "./backend.ts";
import { createJoinedWork } from "./joined-work.ts";

/** How joined work ended. */
interface Landed {
  readonly outcome: BackendOutcome;
  /** Whether whoever began it had left by then. */
  readonly isOrphaned: boolean;
}

/** Joins the jobs of one digest; those whose digest is not known stay on their own. */
export function joinedBackend(backend: ImageBackend): ImageBackend {
  const join = createJoinedWork<Landed>(() => performance.now());

  async function embed(job: EmbedJob): Promise<BackendOutcome> {
    const { image, signal, caller = signal } = job;
    if (image.sha256 === undefined) return await backend.embed(job);
    for (;;) {
      let isOwn = false;
      // The work has a deadline of its own, that of whoever began it: nobody waits for longer.
      const waiting = { signal, deadline: Number.POSITIVE_INFINITY };
      const joined = join(image.sha256, waiting, async (audience) => {
        isOwn = true;
        const outcome = await backend.embed({ ...job, caller, signal: audience.signal });
        return { outcome, isOrphaned: signal.aborted };
      });
      const landed = await joined.catch((error: unknown) => {
        // Somebody else's deadline is not this job's.
        const isTheirs = error instanceof Problem && error.code === "inference-timeout";
        if (isOwn || !isTheirs) throw error;
        return undefined;
      });
      signal.throwIfAborted();
      if (landed === undefined || typeof landed === "string") continue;
      const { outcome, isOrphaned } = landed;
      if (isOwn) return outcome;
      if (isEverybodys(outcome.result, isOrphaned)) return withoutBytes(outcome);
    }
  }

  return { ...backend, embed };
}

/**
 * Whether a result is one for all who waited. With whoever began the work their file went too, and a deadline
 * was theirs: a failure may say no more than that.
 */
function isEverybodys(result: BackendOutcome["result"], isOrphaned: boolean): boolean {
  if (!(result instanceof Problem)) return true;
  return !isOrphaned && result.code !== "upstream-timeout";
}

/** The bytes belong to whoever began the work; everybody else still has their own. */
function withoutBytes({ bytes: _, ...outcome }: BackendOutcome): BackendOutcome {
  return outcome;
}
