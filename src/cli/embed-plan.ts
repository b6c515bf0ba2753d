/** What `imagesvc embed` is asked for. */
import type { CommandCall } from "./command-call.ts";

export interface EmbedPlan {
  readonly operands: readonly string[];
  /** Whether the operands hold lines of text, and not images. */
  readonly isText: boolean;
  /** An id, plain or exact; CLIP where there is none. */
  readonly model: string | undefined;
  readonly normalize: boolean;
  /** File of the records; stdout where there is none. */
  readonly out: string | undefined;
  /** File of the error records; among the others where there is none. */
  readonly errors: string | undefined;
  readonly isOrdered: boolean;
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
  const plan = {
    operands,
    isText: options.has("text"),
    model: text("model"),
    normalize: options.has("normalize"),
    out: text("out"),
    errors: text("errors"),
    isOrdered: !options.has("unordered"),
  };
  const fault = findFault(plan);
  return fault === undefined ? plan : { fault };
}

function findFault({ operands, out, errors }: EmbedPlan): string | undefined {
  for (const [option, path] of [
    ["--out", out],
    ["--errors", errors],
  ] as const) {
    if (path !== undefined && !path.endsWith(".jsonl")) {
      return `${option} is "${path.slice(0, 80)}": only .jsonl files are written so far`;
    }
  }
  if (out !== undefined && out === errors) return "--out and --errors name the same file";
  if (operands.filter((operand) => operand === "-").length > 1) {
    return "- is given twice: stdin can be read once";
  }
  return undefined;
}
