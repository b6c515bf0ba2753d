/** An image's vectors by several models from one upload, as `useEmbedding` does it for one model. */
import { useCallback, useEffect, useState } from "react";
import { type Client, type EachEmbedding, type ImageInput, ImagesvcProblem } from "../client.ts";
import type { EmbeddingState } from "../use-embedding.ts";

/** How it stands. */
export type EachState =
  | Extract<EmbeddingState, { status: "idle" | "loading" | "failed" }>
  | { readonly status: "done"; readonly answer: EachEmbedding };

const idle: EachState = { status: "idle" };
const loading: EachState = { status: "loading" };

/**
 * Embeds an image whenever it, the client or the models change; what is under way for another then ends.
 *
 * @param models ids of models; while there are none, nothing is asked.
 */
export function useEachEmbedding(
  client: Client,
  image: ImageInput | undefined,
  models: readonly string[],
  thumbnail: boolean,
): EachState & { readonly retry: () => void } {
  const [held, setHeld] = useState<{ readonly of: unknown; readonly state: EachState }>();
  const [attempt, setAttempt] = useState(0);
  const asked = models.join(" ");
  // biome-ignore lint/correctness/useExhaustiveDependencies: another attempt is why it runs again.
  useEffect(() => {
    if (image === undefined || asked === "") return;
    const leaving = new AbortController();
    const show = (state: EachState) => {
      if (!leaving.signal.aborted) setHeld({ of: image, state });
    };
    show(loading);
    client
      .embedImageWithEach(image, asked.split(" "), {
        thumbnail,
        signal: leaving.signal,
        onProgress: (progress) => show({ status: "loading", progress }),
        onRetry: (problem) => show({ status: "loading", waitingFor: problem }),
      })
      .then((answer) => show({ status: "done", answer }))
      .catch((error) => show({ status: "failed", problem: asProblem(error) }));
    return () => leaving.abort();
  }, [client, image, asked, thumbnail, attempt]);
  const retry = useCallback(() => setAttempt((count) => count + 1), []);
  if (image === undefined || asked === "") return { ...idle, retry };
  return { ...(held?.of === image ? held.state : loading), retry };
}

/** What cannot be read on this device, above all: a file that was moved or deleted since it was chosen. */
function asProblem(cause: unknown): ImagesvcProblem {
  if (cause instanceof ImagesvcProblem) return cause;
  const title = "The picture cannot be read";
  const detail = "It may have been moved or deleted since: choose it again.";
  return new ImagesvcProblem({ code: "unexpected-answer", status: 0, title, detail }, { cause });
}
