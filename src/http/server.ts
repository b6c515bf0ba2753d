/** The listening socket: every request's begin and end, and the way to stop. */
import type { Server } from "bun";
import { messageOf } from "../errors.ts";
import { limits } from "../limits.ts";
import type { Log } from "../log.ts";
import type { Tracing } from "../monitoring/tracing.ts";
import type { ServedRequest } from "../observer.ts";
import { isProbe } from "./access-log.ts";
import type { App } from "./app.ts";
import { beginCall, type Call, type Calls, endCall, type OnServed, serverTiming } from "./call.ts";
import { createDescriptorWatch } from "./descriptor-watch.ts";
import { handOver } from "./hand-over.ts";
import { hearOut } from "./hear-out.ts";
import type { Lifecycle } from "./lifecycle.ts";
import { shareAddress, takeOverAddress } from "./listener.ts";
import { failureResponse, isOpenAiPath } from "./openai-error.ts";
import { toProblem } from "./problem.ts";

export interface HttpServerOptions {
  readonly app: Pick<App, "fetch" | "findRoute">;
  readonly calls: Calls;
  readonly lifecycle: Lifecycle;
  readonly hostname: string;
  /** 0 takes a free one. */
  readonly port: number;
  /** Whether the port is one that another instance listens on: from now on new connections come here. */
  readonly takesOver?: boolean;
  readonly log: Log;
  /** Told of every request that has its answer, or whose client is gone. */
  readonly onServed: OnServed;
  /** Undefined where nobody collects traces. */
  readonly tracing?: Pick<Tracing, "begin"> | undefined;
}

/** A call that has its answer. */
interface Served {
  /** As the client sent it. */
  readonly method: string;
  /** As in `ServedRequest`. */
  readonly route: string | undefined;
  readonly request: Request;
  readonly response: Response;
  readonly call: Call;
  /** Whether the service cuts what is open. */
  readonly isClosing: boolean;
}

export interface HttpServer {
  /** Where it listens, as a URL. */
  readonly url: URL;
  /**
   * Leaves the port to the instance that has taken it over: answers what still comes on the connections
   * that there are, each with `Connection: close`, until they are gone.
   *
   * @returns false if no other instance listens there, or no more: then this one just goes on.
   */
  handOver(): Promise<boolean>;
  /**
   * Takes no more connections, and waits until no request is under way, but not longer than `timeoutMs`.
   *
   * @returns whether every request got its answer.
   */
  stop(timeoutMs: number): Promise<boolean>;
  /** Cuts whatever is still open. */
  close(): Promise<void>;
  /** To be called now and then: makes room where no file descriptor is left, and says so. */
  checkDescriptors(): void;
}

/**
 * Starts to listen.
 *
 * @throws Error with code `EADDRINUSE` or `EACCES` from the socket; with one sentence if the port cannot be
 *   taken over.
 */
export function startHttpServer(options: HttpServerOptions): HttpServer {
  const { app, calls, lifecycle, log, tracing, onServed, takesOver = false } = options;
  let isClosing = false;
  let underWay = 0;
  let wakeIdle = () => {};

  async function serve(received: Request, server: Server<undefined>): Promise<Response> {
    const request = toRoutable(received);
    const path = new URL(request.url).pathname;
    const route = app.findRoute(path)?.template;
    const connection = connectionOf(received, server);
    const trace = isProbe(route) ? undefined : tracing?.begin(received.headers);
    const call = beginCall(received, connection, trace);
    underWay += 1;
    try {
      const response = await answer(request, call);
      setHeaders(request, response, call, lifecycle);
      const { method } = received;
      onServed(toServed({ method, route, request, response, call, isClosing }), call, path);
      return await hearOut(request, response);
    } finally {
      // The call's own deadlines are over: an idle connection is Bun's to close again.
      server.timeout(received, limits.idleTimeoutS);
      await endCall(call);
      underWay -= 1;
      if (underWay === 0) wakeIdle();
    }
  }

  async function answer(request: Request, call: Call): Promise<Response> {
    calls.set(request, call);
    try {
      return await app.fetch(request);
    } catch (error) {
      call.problem = toProblem(error);
      return failureResponse(request, call.problem, call.requestId);
    }
  }

  const server = Bun.serve({
    hostname: options.hostname,
    port: options.port,
    development: false,
    // Without development mode Bun would let a second process take the same port silently.
    reusePort: takesOver,
    // Cuts clients that are silent in the middle of a request; a call that is served has deadlines of its own.
    idleTimeout: limits.idleTimeoutS,
    // Our own limit answers with a Problem; Bun's would answer with an empty body.
    maxRequestBodySize: Number.MAX_SAFE_INTEGER,
    fetch: serve,
  });
  const port = server.port ?? 0;
  try {
    if (takesOver) takeOverAddress(port);
    else shareAddress(port);
  } catch (error) {
    if (takesOver) {
      void server.stop(false);
      throw error;
    }
    log.debug("no other instance can take over from this one", { cause: messageOf(error) });
  }

  return {
    url: server.url,
    handOver: () => handOver(port, lifecycle, log),
    stop: async (timeoutMs) => {
      void server.stop(false);
      if (underWay === 0) return true;
      const { promise, resolve } = Promise.withResolvers<boolean>();
      wakeIdle = () => resolve(true);
      const timer = setTimeout(() => resolve(false), timeoutMs);
      return await promise.finally(() => clearTimeout(timer));
    },
    close: () => {
      isClosing = true;
      return server.stop(true);
    },
    checkDescriptors: createDescriptorWatch({
      closeIdleConnections: () => server.closeIdleConnections(),
      log,
    }),
  };
}

/** What a call may ask of its connection. */
function connectionOf(
  received: Request,
  server: Server<undefined>,
): Pick<Call, "keepOpen" | "peerAddress"> {
  let peer: string | undefined;
  return {
    keepOpen: () => server.timeout(received, 0),
    // Host check, rate limit and shares ask for it: each time would be a system call.
    peerAddress: () => {
      peer ??= server.requestIP(received)?.address;
      return peer;
    },
  };
}

function setHeaders(
  request: Request,
  { headers }: Response,
  call: Call,
  lifecycle: Lifecycle,
): void {
  for (const [name, value] of call.answerHeaders) headers.set(name, value);
  headers.set("x-request-id", call.requestId);
  const now = performance.now();
  headers.set("server-timing", serverTiming(call, now));
  if (isOpenAiPath(request)) {
    headers.set("openai-processing-ms", String(Math.round(now - call.startedAt)));
  }
  headers.set("x-content-type-options", "nosniff");
  if (lifecycle.isDraining || lifecycle.isHandingOver) headers.set("connection", "close");
}

/**
 * The request as the routes see it: under an absolute URL, although a client may name no host or a broken
 * one, and a HEAD as the GET whose body Bun then leaves out.
 */
function toRoutable(request: Request): Request {
  const { headers, signal, body } = request;
  const method = request.method === "HEAD" ? "GET" : request.method;
  const isAbsolute = URL.canParse(request.url);
  if (isAbsolute && method === request.method) return request;
  const path = request.url.replace(/^https?:\/\/[^/?]*/, "");
  // The target of CONNECT, which is for proxies, is no path (RFC 9112 §3.2.3).
  const url = isAbsolute ? request.url : `http://localhost${path.startsWith("/") ? path : "/"}`;
  return new Request(url, { method, headers, signal, ...(method === "GET" ? {} : { body }) });
}

/**
 * What is told of a request. Without a connection there is no answer: the client has left, or the service has cut
 * it at its end.
 */
function toServed({ method, route, request, response, call, isClosing }: Served): ServedRequest {
  const isGone = request.signal.aborted;
  const { requestId, startedAt, problem, model, trail } = call;
  return {
    ...{ requestId, method, route, startedAt, model, trail },
    status: isGone ? (isClosing ? "cut" : "left") : response.status,
    code: isGone ? undefined : problem?.code,
    endedAt: performance.now(),
  };
}
