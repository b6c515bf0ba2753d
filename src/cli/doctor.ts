/** `imagesvc doctor`: checks what usually goes wrong on a host, and says the mend. */
import { catalog } from "../models/catalog.ts";
import { type Finding, runCheck, type Status } from "./checks/check.ts";
import { hostChecks } from "./checks/host-checks.ts";
import type { CommandCall } from "./command-call.ts";
import { megabytes } from "./progress.ts";

/** What one check found. */
type Result = Finding & { readonly name: string };

/**
 * Runs every check and prints one line for each, or JSON. It changes nothing.
 *
 * @param faults one sentence for each setting that does not parse; the configuration has its default.
 * @returns 0 when nothing failed, warnings or not.
 */
export async function runDoctor(call: CommandCall, faults: readonly string[]): Promise<number> {
  const { interrupted, options, print } = call;
  const progress = call.startProgress(megabytes);
  const totalBytes = catalog[call.config.CLIP_MODEL].source.bytes;
  const onRead = (bytes: number) => progress.show(bytes, totalBytes);
  const { quick, slow } = await hostChecks(call, faults, onRead);
  const running = quick.map((check) => runCheck(check, interrupted));
  const width = Math.max(...[...quick, slow].map(({ name }) => name.length));
  const isJson = options.has("json");
  const render = lineRenderer(width, wantsColours(call));
  const results: Result[] = [];
  for (const [index, check] of [...quick, slow].entries()) {
    // The slow one comes last and alone, so that nothing else is written while its progress is shown.
    const finding = await (running[index] ?? runCheck(check, interrupted));
    progress.end();
    if (interrupted.aborted) {
      // Those under way take their probes away first.
      await Promise.all(running);
      return 130;
    }
    const result = { name: check.name, ...finding };
    results.push(result);
    if (!isJson) await print(render(result));
  }
  if (isJson) await print(`${JSON.stringify(results.map(toJson), null, 2)}\n`);
  else call.tell(summaryOf(results));
  return results.some(({ status }) => status === "fail") ? 1 : 0;
}

/** The keys stay as they are: scripts read them. */
function toJson({ name, status, found, mend }: Result) {
  return { name, status, found, mend: mend ?? null };
}

const colours = { ok: 32, warn: 33, fail: 31 } as const satisfies Record<Status, number>;

function lineRenderer(width: number, isColoured: boolean) {
  return ({ name, status, found, mend }: Result): string => {
    const word = status.padEnd(4);
    const shown = isColoured ? `\x1b[${colours[status]}m${word}\x1b[0m` : word;
    const text = mend === undefined ? found : `${found}; ${mend}`;
    // What comes from outside, such as a path, may hold anything.
    const oneLine = text.replaceAll(/\p{Cc}+/gu, " ");
    return `${shown}  ${name.padEnd(width)}  ${oneLine}\n`;
  };
}

/** @see https://no-color.org */
function wantsColours({ environment }: CommandCall): boolean {
  return process.stdout.isTTY === true && !environment["NO_COLOR"];
}

function summaryOf(results: readonly Result[]): string {
  const count = (status: Status) => results.filter((one) => one.status === status).length;
  return `${count("ok")} ok, ${count("warn")} to look at, ${count("fail")} failed`;
}
