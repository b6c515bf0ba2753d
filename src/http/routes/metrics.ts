/** `GET /metrics`, for Prometheus. */
import { Elysia } from "elysia";
import type { Metrics } from "../../monitoring/metrics.ts";

/** What the route needs. */
export interface MetricsRoutes {
  readonly metrics: Pick<Metrics, "expose">;
}

export function metricsRoutes({ metrics }: MetricsRoutes) {
  return new Elysia({ normalize: false }).get(
    "/metrics",
    ({ request }) => metricsResponse(metrics, request),
    { detail: { hide: true } },
  );
}

/** Answers a scraper in the format that it asks for. */
export async function metricsResponse(
  metrics: Pick<Metrics, "expose">,
  { headers }: Pick<Request, "headers">,
): Promise<Response> {
  const { contentType, text } = await metrics.expose(headers.get("accept"));
  return new Response(text, { headers: { "content-type": contentType } });
}
