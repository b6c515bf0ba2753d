/** A text's vector in a component, as `useEmbedding` does it for images. */
import { useCallback, useEffect, useState } from "react";
import { type Client, ImagesvcProblem } from "../client.ts";

/** How it stands. */
export type TextState =
  | { readonly status: "idle" | "loading" }
  | {
      readonly status: "done";
      readonly embedding: {
        readonly vector: readonly number[];
        readonly model: string;
        /** Whether the end of the text was left out. */
        readonly isTruncated: boolean;
      };
    }
  | { readonly status: "failed"; readonly problem: ImagesvcProblem };

/** Embeds a text whenever it changes; undefined where there is none. */
export function useTextEmbedding(
  client: Client,
  text: string | undefined,
  model: string,
): TextState & { readonly retry: () => void } {
  const [held, setHeld] = useState<{ of: unknown; state: TextState }>({
    of: undefined,
    state: { status: "idle" },
  });
  const [attempt, setAttempt] = useState(0);
  // biome-ignore lint/correctness/useExhaustiveDependencies: another attempt is why it runs again.
  useEffect(() => {
    if (text === undefined) return;
    const leaving = new AbortController();
    const show = (state: TextState) => {
      if (!leaving.signal.aborted) setHeld({ of: text, state });
    };
    show({ status: "loading" });
    client
      .embedTexts([text], { model, signal: leaving.signal })
      .then(({ vectors: [vector = []], truncated, model: exact }) => {
        const isTruncated = truncated[0] ?? false;
        show({ status: "done", embedding: { vector, model: exact, isTruncated } });
      })
      .catch((problem) => {
        if (problem instanceof ImagesvcProblem) show({ status: "failed", problem });
      });
    return () => leaving.abort();
  }, [client, text, model, attempt]);
  const retry = useCallback(() => setAttempt((count) => count + 1), []);
  if (text === undefined) return { status: "idle", retry };
  return { ...(held.of === text ? held.state : { status: "loading" }), retry };
}
