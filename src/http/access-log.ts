/** One line a request: what was asked, what became of it, and where its time went. No bytes, keys, URLs or query strings. */
import { type Problem, problems } from "../errors.ts";
import type { Log, LogFields } from "../log.ts";
import type { ServedRequest, WrittenTrail } from "../observer.ts";
import type { Call, OnServed } from "./call.ts";

interface AccessLogOptions {
  readonly log: Log;
  /** One in so many probes is logged, beside those whose status is another than the one before; 0: only those. */
  readonly healthSample: number;
}

/** What supervisors, load balancers and Prometheus ask every few seconds. */
const probes: readonly string[] = ["/livez", "/readyz", "/metrics"];

/** Whether a route is one that is asked all the time, and says nothing as long as its answer is the same. */
export function isProbe(route: string | undefined): boolean {
  return route !== undefined && probes.includes(route);
}

/** Makes the log of requests: writes the line of each. */
export function createAccessLog({ log, healthSample }: AccessLogOptions): OnServed {
  const isNews = createProbeSample(healthSample);
  return (served, call, path) => {
    const fields = fieldsOf(served, call, path);
    if (served.code === "internal-error") log.error("request", fields);
    else if (isProbe(served.route) && !isNews(served)) log.debug("request", fields);
    else log.info("request", fields);
  };
}

/** Picks the probes that are worth a line. */
function createProbeSample(oneIn: number) {
  const last = new Map<string, ServedRequest["status"]>();
  let count = 0;
  return ({ route = "", status }: ServedRequest): boolean => {
    count += 1;
    const isChange = status !== (last.get(route) ?? 200);
    last.set(route, status);
    return isChange || (oneIn > 0 && count % oneIn === 0);
  };
}

function fieldsOf(served: ServedRequest, call: Call, path: string): LogFields {
  const { status, code, trail } = served;
  return {
    request_id: served.requestId,
    method: served.method,
    path: path.slice(0, 200),
    route: served.route,
    // Without a connection there is no answer, so whatever failed then says nothing.
    ...(typeof status === "string" ? { [status]: true } : { status, code, cause: causeOf(call) }),
    ms: tenths(served.endedAt - served.startedAt),
    model: served.model,
    ...inputFields(trail),
    ...stageFields(call),
    key: call.apiKeyName,
    client: call.refusedClient,
  };
}

function inputFields({ inputs, bytes, pixels, cache, failures }: WrittenTrail): LogFields {
  if (inputs.size === 0 && failures.size === 0) return {};
  return {
    source: [...inputs.keys()].map((kind) => (kind === "memory" ? "base64" : kind)).join("+"),
    inputs: sumOf(inputs),
    bytes: bytes || undefined,
    pixels: pixels || undefined,
    cache:
      cache.hit === 0 ? (cache.miss === 0 ? undefined : "miss") : cache.miss === 0 ? "hit" : "some",
    failed: sumOf(failures) || undefined,
    failed_codes: [...failures.keys()].join("+") || undefined,
  };
}

function sumOf(counts: ReadonlyMap<string, number>): number {
  return [...counts.values()].reduce((sum, one) => sum + one, 0);
}

/** As `Server-Timing` has them: `queue_ms`, `infer_ms` and so on. */
function stageFields({ timings }: Call): LogFields {
  return Object.fromEntries(
    Object.entries(timings).map(([stage, ms]) => [`${stage}_ms`, tenths(ms)]),
  );
}

function tenths(ms: number): number {
  return Math.round(ms * 10) / 10;
}

/** What the caller does not see: the stack of a bug, the reason of a failure. */
function causeOf({ problem }: { readonly problem: Problem | undefined }): string | undefined {
  if (problem?.cause === undefined) return undefined;
  const { cause, code } = problem;
  if (!(cause instanceof Error)) return String(cause);
  return problems[code].status === 500 ? (cause.stack ?? cause.message) : cause.message;
}
