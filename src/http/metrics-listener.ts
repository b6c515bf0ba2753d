/** A listener of its own for metrics, where METRICS_LISTEN wants one: without keys, for whoever reaches it. */
import type { Server } from "bun";
import { messageOf } from "../errors.ts";
import { limits } from "../limits.ts";
import type { Metrics } from "../monitoring/metrics.ts";
import { listenFaultOf } from "../net/listen-fault.ts";
import type { ListenAddress } from "../setting.ts";
import { metricsResponse } from "./routes/metrics.ts";

export interface MetricsListenerOptions {
  readonly address: ListenAddress;
  readonly metrics: Pick<Metrics, "expose">;
}

export interface MetricsListener {
  /** Where it listens, as a URL; undefined while it does not. */
  url(): URL | undefined;
  /** @throws Error with one sentence if the address cannot be had. */
  listen(): void;
  /** Listens as soon as the instance that is replaced has let go of the address; the metrics are missing until then. */
  listenOnceFree(): void;
  /** Lets go of the address. */
  stop(): void;
}

/** Makes the listener; nothing listens yet. */
export function createMetricsListener({
  address,
  metrics,
}: MetricsListenerOptions): MetricsListener {
  let server: Server<undefined> | undefined;
  let retry: ReturnType<typeof setInterval> | undefined;

  function open(): void {
    server ??= Bun.serve({
      ...address,
      development: false,
      // Without development mode Bun would let a second process take the same port silently.
      reusePort: false,
      idleTimeout: limits.idleTimeoutS,
      maxRequestBodySize: 0,
      fetch: (request) => answer(metrics, request),
    });
  }

  function stopTrying(): void {
    clearInterval(retry);
    retry = undefined;
  }

  return {
    url: () => server?.url,
    listen: () => {
      try {
        open();
      } catch (error) {
        throw new Error(listenFault(error, address), { cause: error });
      }
    },
    listenOnceFree: () => {
      retry ??= setInterval(() => {
        try {
          open();
          stopTrying();
        } catch {
          // It is somebody's still.
        }
      }, limits.handOverPollMs);
    },
    stop: () => {
      stopTrying();
      // A scrape takes milliseconds, and the next one comes anyway.
      void server?.stop(true);
      server = undefined;
    },
  };
}

async function answer(metrics: Pick<Metrics, "expose">, request: Request): Promise<Response> {
  const { pathname } = new URL(request.url, "http://localhost");
  if (pathname !== "/metrics") return new Response("Metrics are at /metrics.\n", { status: 404 });
  if (request.method !== "GET" && request.method !== "HEAD") {
    return new Response(null, { status: 405, headers: { allow: "GET, HEAD" } });
  }
  return await metricsResponse(metrics, request);
}

function listenFault(error: unknown, { hostname, port }: ListenAddress): string {
  const where = `METRICS_LISTEN (${hostname.includes(":") ? `[${hostname}]` : hostname}:${port})`;
  switch (listenFaultOf(error)) {
    case "taken":
      return `${where} is taken: choose another port, or stop the other program`;
    case "not-allowed":
      return `this user may not listen on ${where}: choose a port of 1024 or higher`;
    case "no-address":
      return `${where} is no address of this machine: use 127.0.0.1 for itself alone`;
    case "no-name-server":
      return `${where} cannot be looked up, no name server answers: name an address, such as 127.0.0.1`;
    default:
      return `${where} cannot be listened on: ${messageOf(error)}`;
  }
}
