/** The Elysia application: who may call, the routes, and what becomes of every error. */
import { cors } from "@elysiajs/cors";
import { Elysia } from "elysia";
import { Problem } from "../errors.ts";
import type { ApiKeyNames } from "../store/api-keys.ts";
import { challengeOf, requireApiKey } from "./authorization.ts";
import { callOf } from "./call.ts";
import type { EmbeddingRoutes } from "./embedding.ts";
import { type HostGuard, isOwnOrigin } from "./host.ts";
import type { Lifecycle } from "./lifecycle.ts";
import { failureResponse } from "./openai-error.ts";
import { createOpenApi } from "./openapi.ts";
import { nothingHere, toProblem } from "./problem.ts";
import type { RateGuard } from "./rate-limit.ts";
import { createRouteFinder, type FindRoute } from "./route-finder.ts";
import { docsRoutes } from "./routes/docs.ts";
import { embedTextRoutes, type TextRoutes } from "./routes/embed-text.ts";
import {
  type EachRoutes,
  eachModelRoutes,
  embeddingsRoutes,
  type LookUpRoutes,
} from "./routes/embeddings.ts";
import { healthRoutes } from "./routes/health.ts";
import { type MetricsRoutes, metricsRoutes } from "./routes/metrics.ts";
import { type OpenAiRoutes, openAiRoutes } from "./routes/openai.ts";
import { pageRoutes } from "./routes/page.ts";
import { problemRoutes } from "./routes/problems.ts";
import { type SimilarityRoutes, similarityRoutes } from "./routes/similarity.ts";
import { uploadRoutes } from "./routes/upload.ts";
import { vectorizeRoutes } from "./routes/vectorize.ts";

export interface AppOptions
  extends EmbeddingRoutes,
    TextRoutes,
    SimilarityRoutes,
    LookUpRoutes,
    EachRoutes,
    OpenAiRoutes {
  /** Origins whose pages may call; `*` for all. */
  readonly corsOrigins: readonly string[];
  readonly lifecycle: Lifecycle;
  /** The API keys of the moment; undefined where none are configured. */
  readonly apiKeys: () => ApiKeyNames | undefined;
  /** Knows rebound names by their Host; undefined where any name may be ours. */
  readonly hostGuard: HostGuard | undefined;
  /** Counts every POST; undefined where there is no limit. */
  readonly rateGuard?: RateGuard | undefined;
  /** Undefined where metrics have a listener of their own. */
  readonly metrics?: MetricsRoutes["metrics"] | undefined;
}

/** Makes the application. It listens to nothing by itself. */
export function createApp(options: AppOptions) {
  const { calls, lifecycle, embedder, corsOrigins, apiKeys, hostGuard, rateGuard, metrics } =
    options;
  const api = new Elysia({ normalize: false })
    .use(uploadRoutes(options))
    .use(vectorizeRoutes(options))
    .use(embedTextRoutes(options))
    .use(similarityRoutes(options))
    .use(eachModelRoutes(options))
    .use(embeddingsRoutes(options))
    .use(openAiRoutes(options))
    .use(healthRoutes({ backends: embedder.backends, lifecycle }));
  const openApi = createOpenApi(api);
  // Without this Elysia looks for the path behind the eleventh character of the URL: too late for `http://ml/`.
  const handler = { standardHostname: false };
  const app = new Elysia({ normalize: false, handler })
    .onRequest(({ request }) => {
      hostGuard?.(request, callOf(calls, request).peerAddress());
      // The CORS plugin answers every OPTIONS.
      if (request.method === "OPTIONS" && methodsAt(findRoute, request).length === 0) {
        throw notFound(request, []);
      }
    })
    .use(corsFor(corsOrigins))
    .onRequest(({ request }) => {
      const apiKeyName = requireApiKey(request, apiKeys());
      if (apiKeyName !== undefined) callOf(calls, request).apiKeyName = apiKeyName;
      if (request.method !== "POST") return;
      refuseForeignOrigin(request, corsOrigins);
      if (lifecycle.isDraining) throw shuttingDown();
      rateGuard?.(request, callOf(calls, request));
    })
    .onError({ as: "global" }, ({ error, code, request }) => {
      const call = callOf(calls, request);
      const allowed = code === "NOT_FOUND" ? methodsAt(findRoute, request) : [];
      call.problem = code === "NOT_FOUND" ? notFound(request, allowed) : toProblem(error);
      const headers = {
        ...(allowed.length > 0 && { allow: allowed.join(", ") }),
        ...(call.problem.code === "unauthorized" && { "www-authenticate": challengeOf(request) }),
      };
      return failureResponse(request, call.problem, call.requestId, headers);
    })
    .use(api)
    .use(problemRoutes())
    .use(docsRoutes(openApi))
    .use(pageRoutes());
  if (metrics !== undefined) app.use(metricsRoutes({ metrics }));
  const findRoute = createRouteFinder(app.routes);
  return { fetch: app.fetch, openApi, findRoute };
}

/** The application as the server sees it. */
export type App = ReturnType<typeof createApp>;

/** What OpenAI's SDK adds to every request that it sends from a browser. */
const openAiHeaders = [
  ...["OpenAI-Organization", "OpenAI-Project"],
  ...["Lang", "Package-Version", "OS", "Arch", "Runtime", "Runtime-Version"].map(stainless),
  ...["Retry-Count", "Timeout"].map(stainless),
];

function stainless(name: string): string {
  return `X-Stainless-${name}`;
}

function corsFor(origins: readonly string[]) {
  const any = origins.includes("*");
  return cors({
    origin: any ? "*" : [...origins],
    credentials: !any,
    methods: ["GET", "HEAD", "POST", "OPTIONS"],
    allowedHeaders: ["Authorization", "Content-Type", "X-Request-Id", ...openAiHeaders],
    exposeHeaders: [
      ...["Retry-After", "RateLimit", "RateLimit-Policy"],
      ...["X-Request-Id", "ETag", "X-Cache", "Server-Timing"],
      ...["X-Should-Retry", "OpenAI-Processing-Ms"],
    ],
    maxAge: 600,
  });
}

/** Forms and multipart need no preflight, so a foreign page's POST is refused here, before its body is read. */
function refuseForeignOrigin(request: Request, allowed: readonly string[]): void {
  const origin = request.headers.get("origin");
  if (origin === null || allowed.includes("*") || allowed.includes(origin)) return;
  if (isOwnOrigin(origin, request)) return;
  throw new Problem(
    "forbidden-origin",
    "Pages of this origin may not call the service: ask the operator to list it in CORS_ORIGINS.",
  );
}

/** The methods that a path takes, as `Allow` lists them; empty for a path that does not exist. */
function methodsAt(findRoute: FindRoute, request: Request): readonly string[] {
  const methods = findRoute(new URL(request.url).pathname)?.methods ?? [];
  return methods.length === 0
    ? []
    : [...methods, ...(methods.includes("GET") ? ["HEAD"] : []), "OPTIONS"];
}

function notFound(request: Request, allowed: readonly string[]): Problem {
  if (allowed.length === 0) return nothingHere();
  const detail = `This path does not take ${request.method}: send ${allowed[0]}.`;
  return new Problem("method-not-allowed", detail);
}

function shuttingDown(): Problem {
  return new Problem("shutting-down", "The service is stopping: send the request again.", {
    retryAfterS: 5,
  });
}
