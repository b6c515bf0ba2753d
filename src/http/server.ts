/** The listening socket: every request's begin and end, and the way to stop. */
import type { Server } from "bun";
import { messageOf, type Problem, problems } from "../errors.ts";
import { limits } from "../limits.ts";
import type { Log } from "../log.ts";
import type { App } from "./app.ts";
import { beginCall, type Call, type Calls, serverTiming } from "./call.ts";
import { createDescriptorWatch } from "./descriptor-watch.ts";
import { handOver } from "./hand-over.ts";
import { hearOut } from "./hear-out.ts";
import type { Lifecycle } from "./lifecycle.ts";
import { shareAddress, takeOverAddress } from "./listener.ts";
import { failureResponse, isOpenAiPath } from "./openai-error.ts";
import { toProblem } from "./problem.ts";

export interface HttpServerOptions {
  readonly app: Pick<App, "fetch">;
  readonly calls: Calls;
  readonly lifecycle: Lifecycle;
  readonly hostname: string;
  /** 0 takes a free one. */
  readonly port: number;
  /** Whether the port is one that another instance listens on: from now on new connections come here. */
  readonly takesOver?: boolean;
  readonly log: Log;
}

/** A call that has its answer. */
interface Served {
  /** As the client sent it. */
  readonly method: string;
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
  const { app, calls, lifecycle, log, takesOver = false } = options;
  let isClosing = false;
  let underWay = 0;
  let wakeIdle = () => {};

  async function serve(received: Request, server: Server<undefined>): Promise<Response> {
    const call = beginCall(received, {
      keepOpen: () => server.timeout(received, 0),
      peerAddress: () => server.requestIP(received)?.address,
    });
    const request = toRoutable(received);
    underWay += 1;
    try {
      const response = await answer(request, call);
      setHeaders(request, response, call, lifecycle);
      logCall(log, { method: received.method, request, response, call, isClosing });
      return await hearOut(request, response);
    } finally {
      // The call's own deadlines are over: an idle connection is Bun's to close again.
      server.timeout(received, limits.idleTimeoutS);
      await Promise.all(call.spools.map((spool) => spool.discard()));
      call.ticket?.release();
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

/** One line a request, without bytes, keys or query strings. */
function logCall(log: Log, served: Served): void {
  const { method, request, call } = served;
  const fields = {
    request_id: call.requestId,
    method,
    path: new URL(request.url).pathname.slice(0, 200),
    ...outcomeOf(served),
    ms: Math.round((performance.now() - call.startedAt) * 10) / 10,
    model: call.model,
    key: call.apiKeyName,
    client: call.refusedClient,
  };
  if ("code" in fields && fields.code === "internal-error") log.error("request", fields);
  else if (fields.path === "/livez" || fields.path === "/readyz") log.debug("request", fields);
  else log.info("request", fields);
}

/**
 * What a request came to. Without a connection there is no answer, so whatever failed then says nothing: the
 * client has left, or the service has cut it at its end.
 */
function outcomeOf({ request, response, call: { problem }, isClosing }: Served) {
  if (request.signal.aborted) return isClosing ? { cut: true } : { left: true };
  const failure = problem === undefined ? {} : { code: problem.code, cause: causeOf(problem) };
  return { status: response.status, ...failure };
}

/** What the caller does not see: the stack of a bug, the reason of a failure. */
function causeOf(problem: Problem): string | undefined {
  const { cause } = problem;
  if (cause === undefined) return undefined;
  if (!(cause instanceof Error)) return String(cause);
  return problems[problem.code].status === 500 ? (cause.stack ?? cause.message) : cause.message;
}
