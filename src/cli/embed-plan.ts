/** What `imagesvc embed` is asked for. */
import type { CommandCall } from "./command-call.ts";
import { parseShard, type Shard } from "./shard.ts";

/** How the vectors are written. */
export type OutputFormat = "jsonl" | "npy" | "parquet";

export interface EmbedPlan {
  readonly operands: readonly string[];
  /** Whether the operands hold lines of text, and not images. */
  readonly isText: boolean;
  /** An id, plain or exact; CLIP where there is none. */
  readonly model: string | undefined;
  readonly normalize: boolean;
  /** File of the vectors; lines of JSON on stdout where there is none. */
  readonly out: { readonly path: string; readonly format: OutputFormat } | undefined;
  /** Whether it goes on with what the output has. */
  readonly resume: boolean;
  /** File of the error records; among the others where there is none. */
  readonly errors: string | undefined;
  readonly isOrdered: boolean;
  /** The part of the work that is done; all of it where there is none. */
  readonly shard: Shard | undefined;
  /** The service that embeds; this process where there is none. */
  readonly remote: URL | undefined;
}

/** @returns the plan, or one sentence about what is wrong with the options. */
export function readEmbedPlan({
  operands,
  options,
}: Pick<CommandCall, "operands" | "options">): EmbedPlan | { readonly fault: string } {
  const text = (name: string) => {
    const value = options.get(name);
    return typeof value === "string" ? value : undefined;
  };
  const [out, errors, shard, remote] = ["out", "errors", "shard", "remote"].map(text);
  const fault =
    outputFault(out, errors, options.has("resume")) ??
    (shard !== undefined && parseShard(shard) === undefined
      ? `--shard is ${quote(shard)}: it must be such as 3/16, from 1/16 to 16/16`
      : undefined) ??
    (remote !== undefined && readService(remote) === undefined
      ? `--remote must be an http:// or https:// URL without user name, password and query`
      : undefined) ??
    (operands.filter((operand) => operand === "-").length > 1
      ? "- is given twice: stdin can be read once"
      : undefined);
  if (fault !== undefined) return { fault };
  const format = out === undefined ? undefined : formatOf(out);
  return {
    operands,
    isText: options.has("text"),
    model: text("model"),
    normalize: options.has("normalize"),
    out: out === undefined || format === undefined ? undefined : { path: out, format },
    resume: options.has("resume"),
    errors,
    isOrdered: !options.has("unordered"),
    shard: shard === undefined ? undefined : parseShard(shard),
    remote: remote === undefined ? undefined : readService(remote),
  };
}

function outputFault(
  out: string | undefined,
  errors: string | undefined,
  resume: boolean,
): string | undefined {
  if (out !== undefined && formatOf(out) === undefined) {
    return `--out is ${quote(out)}: files of vectors end in .jsonl, .npy or .parquet`;
  }
  if (errors !== undefined && !errors.endsWith(".jsonl")) {
    return `--errors is ${quote(errors)}: it is lines of JSON, so its name must end in .jsonl`;
  }
  if (out !== undefined && out === errors) return "--out and --errors name the same file";
  if (resume && out === undefined) return "--resume goes on with a file: name it with --out";
  return undefined;
}

function formatOf(path: string): OutputFormat | undefined {
  return (["jsonl", "npy", "parquet"] as const).find((format) => path.endsWith(`.${format}`));
}

/** Where a service is; a path in front of its requests may be a proxy's. */
function readService(text: string): URL | undefined {
  if (!URL.canParse(text)) return undefined;
  const url = new URL(text);
  const isPlain = url.username + url.password + url.search + url.hash === "";
  if (!/^https?:$/.test(url.protocol) || !isPlain) return undefined;
  if (!url.pathname.endsWith("/")) url.pathname += "/";
  return url;
}

function quote(text: string): string {
  return `"${text.slice(0, 80)}"`;
}
