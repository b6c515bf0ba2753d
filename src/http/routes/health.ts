/** `/livez` and `/readyz`, for supervisors and load balancers. */
import { Elysia } from "elysia";
import type { ImageBackend } from "../../backends/backend.ts";
import type { Lifecycle } from "../lifecycle.ts";
import { liveAnswer, readyAnswer } from "../schemas.ts";

export interface HealthRoutes {
  readonly backends: readonly ImageBackend[];
  readonly lifecycle: Lifecycle;
}

export function healthRoutes({ backends, lifecycle }: HealthRoutes) {
  return new Elysia({ normalize: false })
    .get("/livez", () => ({ status: "alive" as const }), {
      response: { 200: liveAnswer },
      detail: { tags: ["Health"], summary: "Whether the process answers" },
    })
    .get(
      "/readyz",
      ({ set }) => {
        const models = backends.map((backend) => {
          const state = backend.state();
          const why = "why" in state ? { why: state.why } : {};
          const back = "retryAfterS" in state ? { retry_after: state.retryAfterS } : {};
          return { id: backend.exactId, state: state.kind, ...why, ...back };
        });
        const serves = models.some(({ state }) => state === "ready");
        if (lifecycle.isDraining || !serves) set.status = 503;
        const status = lifecycle.isDraining ? "draining" : serves ? "ready" : "not-ready";
        return { status, models } as const;
      },
      {
        response: { 200: readyAnswer, 503: readyAnswer },
        detail: {
          tags: ["Health"],
          summary: "Whether at least one model serves, and each model's state",
        },
      },
    );
}
