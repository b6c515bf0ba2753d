/** For each alert, what it fires at, and what it nearly does. */

/** Series and their values, in the notation of `promtool test rules`; one value a minute. */
type Series = Readonly<Record<string, string>>;

export interface AlertCase {
  readonly alert: string;
  /** When it is looked, since the series began. */
  readonly at: string;
  readonly fires: Series;
  /** Labels of the alert beside job, instance and severity. */
  readonly labels?: Readonly<Record<string, string>>;
  readonly quiet: Series;
}

/** Labels that Prometheus adds. */
export const target = { job: "imagesvc", instance: "a:8000" };

function series(name: string, labels: Readonly<Record<string, string>> = {}): string {
  const pairs = Object.entries({ ...target, ...labels }).map(([key, text]) => `${key}="${text}"`);
  return `${name}{${pairs.join(", ")}}`;
}

const always = (value: number) => `${value}x60`;
const growing = (aMinute: number) => `0+${aMinute}x60`;

function requests(status: string, code = "", route = "/upload"): string {
  const labels = { route, method: "POST", status, ...(code === "" ? {} : { code }) };
  return series("imagesvc_http_requests_total", labels);
}

/** A histogram of which 10 of 60 observations a minute are at most `le`, and the rest beyond. */
function mostlyBeyond(
  le: string,
  name: string,
  labels: Readonly<Record<string, string>> = {},
): Series {
  return {
    [series(`${name}_bucket`, { ...labels, le })]: growing(10),
    [series(`${name}_bucket`, { ...labels, le: "+Inf" })]: growing(60),
  };
}

const good = requests("200");
const breaker = series("imagesvc_nvidia_breaker_open");
const durations = "imagesvc_http_request_duration_seconds";
const stages = "imagesvc_stage_duration_seconds";
const delays = "imagesvc_event_loop_delay_seconds";
const free = series("imagesvc_disk_free_bytes", { folder: "downloads" });
const start = series("process_start_time_seconds");
const dropped = series("imagesvc_log_lines_dropped_total");

/** The state of a model that does not serve. */
function unavailable(model: string): Readonly<Record<string, string>> {
  return { model, state: "unavailable" };
}

export const alertCases: readonly AlertCase[] = [
  {
    alert: "ImagesvcDown",
    at: "10m",
    fires: { [series("up")]: always(0) },
    quiet: { [series("up")]: always(1) },
  },
  {
    alert: "ImagesvcNotReady",
    at: "10m",
    fires: { [series("imagesvc_ready")]: always(0) },
    // A start.
    quiet: { [series("imagesvc_ready")]: "0 0 0 1x60" },
  },
  {
    alert: "ImagesvcLocalModelUnavailable",
    at: "20m",
    fires: { [series("imagesvc_model_state", unavailable("clip-ViT-B-32"))]: always(1) },
    labels: unavailable("clip-ViT-B-32"),
    // Nobody gave it a key.
    quiet: { [series("imagesvc_model_state", unavailable("nv-dinov2"))]: always(1) },
  },
  {
    alert: "ImagesvcErrors",
    at: "20m",
    fires: { [good]: growing(80), [requests("500", "internal-error")]: growing(20) },
    // Those have alerts of their own, or are an image host's.
    quiet: {
      [good]: growing(60),
      [requests("503", "overloaded")]: growing(20),
      [requests("502", "origin-error")]: growing(20),
      [requests("503", "", "/readyz")]: growing(60),
    },
  },
  {
    alert: "ImagesvcRefusing",
    at: "20m",
    fires: { [good]: growing(80), [requests("503", "overloaded")]: growing(20) },
    quiet: { [good]: growing(99), [requests("503", "overloaded")]: growing(1) },
  },
  {
    alert: "ImagesvcQueueing",
    at: "20m",
    fires: mostlyBeyond("10", stages, { stage: "queue" }),
    quiet: mostlyBeyond("10", stages, { stage: "upstream" }),
  },
  {
    alert: "ImagesvcSlow",
    at: "20m",
    fires: mostlyBeyond("30", durations, { route: "/upload" }),
    quiet: mostlyBeyond("10", durations, { route: "/upload" }),
  },
  {
    alert: "ImagesvcEventLoopLate",
    at: "20m",
    fires: mostlyBeyond("0.5", delays),
    quiet: mostlyBeyond("0.1", delays),
  },
  {
    alert: "ImagesvcNvidiaOutOfOrder",
    at: "10m",
    fires: { [breaker]: always(1) },
    quiet: { [breaker]: always(0) },
  },
  {
    alert: "ImagesvcNvidiaQuota",
    at: "30m",
    fires: { [good]: growing(80), [requests("503", "upstream-rate-limited")]: growing(20) },
    quiet: { [good]: growing(99), [requests("503", "upstream-rate-limited")]: growing(1) },
  },
  {
    alert: "ImagesvcDiskLow",
    at: "20m",
    fires: { [free]: always(2e9) },
    labels: { folder: "downloads" },
    quiet: { [free]: always(4e9) },
  },
  {
    alert: "ImagesvcRestarting",
    at: "25m",
    fires: { [start]: "1x5 2x5 3x5 4x60" },
    // An upgrade.
    quiet: { [start]: "1x5 2x60" },
  },
  {
    alert: "ImagesvcDescriptorsLow",
    at: "10m",
    fires: { [series("process_open_fds")]: always(900), [series("process_max_fds")]: always(1000) },
    quiet: { [series("process_open_fds")]: always(90), [series("process_max_fds")]: always(1000) },
  },
  {
    alert: "ImagesvcLogDropped",
    at: "15m",
    fires: { [dropped]: "0x10 5x60" },
    quiet: { [dropped]: always(5) },
  },
];
