/** An image's vector in a React component: loading, with how far the upload is, then there, or why not. */
import { useCallback, useEffect, useState } from "react";
import {
  type Client,
  type Embedding,
  type EmbedOptions,
  type ImageInput,
  ImagesvcProblem,
  type Progress,
} from "./client.ts";

/** How it stands; each state has what belongs to it. */
export type EmbeddingState =
  /** No image was given. */
  | { readonly status: "idle" }
  | {
      readonly status: "loading";
      /** Of the upload; undefined before it begins. */
      readonly progress?: Progress | undefined;
      /** Why it is tried again, where it is. */
      readonly waitingFor?: ImagesvcProblem | undefined;
    }
  | { readonly status: "done"; readonly embedding: Embedding }
  /** `problem.detail` is one sentence that says what to change. */
  | { readonly status: "failed"; readonly problem: ImagesvcProblem };

/** The state, and the way to try once more. */
export type UseEmbedding = EmbeddingState & { readonly retry: () => void };

/** A state, and of what it is one: what belongs to another image is never shown. */
interface Held {
  readonly of: unknown;
  readonly state: EmbeddingState;
}

const idle: EmbeddingState = { status: "idle" };
const loading: EmbeddingState = { status: "loading" };

/**
 * Embeds an image whenever it, the client or an option changes; what is under way for another then ends.
 *
 * @param client should be the same at every render: made outside the component, or remembered.
 * @param image undefined or null where there is none yet.
 */
export function useEmbedding(
  client: Client,
  image: ImageInput | null | undefined,
  options: Pick<EmbedOptions, "model" | "normalize" | "thumbnail"> = {},
): UseEmbedding {
  const { model, normalize, thumbnail } = options;
  const [held, setHeld] = useState<Held>({ of: undefined, state: idle });
  const [attempt, setAttempt] = useState(0);
  // biome-ignore lint/correctness/useExhaustiveDependencies: another attempt is why it runs again.
  useEffect(() => {
    if (image == null) return;
    const leaving = new AbortController();
    const show = (state: EmbeddingState) => {
      if (!leaving.signal.aborted) setHeld({ of: image, state });
    };
    show(loading);
    client
      .embedImage(image, {
        ...{ model, normalize, thumbnail },
        signal: leaving.signal,
        onProgress: (progress) => show({ status: "loading", progress }),
        onRetry: (problem) => show({ status: "loading", waitingFor: problem }),
      })
      .then((embedding) => show({ status: "done", embedding }))
      .catch((error) => show({ status: "failed", problem: asProblem(error) }));
    return () => leaving.abort();
  }, [client, image, model, normalize, thumbnail, attempt]);
  const retry = useCallback(() => setAttempt((count) => count + 1), []);
  if (image == null) return { ...idle, retry };
  return { ...(held.of === image ? held.state : loading), retry };
}

function asProblem(error: unknown): ImagesvcProblem {
  if (error instanceof ImagesvcProblem) return error;
  const detail = "The page made a mistake: reload it, and tell whoever runs it.";
  return new ImagesvcProblem(
    { code: "unexpected-answer", status: 0, title: "A mistake", detail },
    { cause: error },
  );
}
