/** How CLIP is, as requests and `/readyz` hear it. */
import { Problem } from "../errors.ts";
import type { BackendState } from "./backend.ts";
import type { Clock } from "./clock.ts";

export interface ClipState {
  /** How it is now: of a next try the seconds that are left until then. */
  current(): BackendState;
  /** @param nextTryAt when it is tried again, ms on the clock's scale; absent where it is not. */
  set(state: BackendState, nextTryAt?: number): void;
  /**
   * Takes note of a text that was not embedded: the text tower is loaded with the first one, and only then is
   * it known that it cannot be.
   *
   * @returns whether it is news that the model cannot embed texts.
   */
  noteTextFailure(error: unknown): boolean;
  /** Takes note of a text that was embedded. */
  noteText(): void;
}

/** Makes the state of a model that is not loaded yet. */
export function createClipState({ now }: Pick<Clock, "now">): ClipState {
  let state: BackendState = { kind: "loading", why: "The weights are being prepared." };
  let nextTryAt: number | undefined;
  let textFault: string | undefined;
  return {
    current: () => {
      if (state.kind === "ready") {
        return textFault === undefined ? state : { kind: "ready", why: textFault };
      }
      if (nextTryAt === undefined) return state;
      return { ...state, retryAfterS: Math.max(1, Math.ceil((nextTryAt - now()) / 1000)) };
    },
    set: (next, at) => {
      state = next;
      nextTryAt = at;
    },
    noteTextFailure: (error) => {
      if (!(error instanceof Problem && error.code === "model-unavailable")) return false;
      const isNews = textFault === undefined;
      textFault = `It serves images, but no texts. ${error.message}`;
      return isNews;
    },
    noteText: () => {
      textFault = undefined;
    },
  };
}
