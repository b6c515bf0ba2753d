/** Reads what `/metrics` answers, and asks promtool about it. */
import { expect } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { leftOut } from "./left-out.ts";

/** One sample of an exposition. */
interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** Samples by name and labels. */
export interface Scraped {
  readonly text: string;
  readonly samples: readonly Sample[];
  /** The sum of all samples of that name whose labels have these values; 0 where there is none. */
  sum(name: string, labels?: Readonly<Record<string, string>>): number;
}

/** Scrapes an origin. */
export async function scrape(
  { url }: { readonly url: URL },
  headers: Readonly<Record<string, string>> = {},
): Promise<Scraped> {
  const response = await fetch(`${url.origin}/metrics`, { headers });
  const text = await response.text();
  expect({ status: response.status, text }).toMatchObject({ status: 200 });
  return parseExposition(text);
}

/** Takes an exposition apart, whichever of the two formats it has. */
function parseExposition(text: string): Scraped {
  const samples = text.split("\n").flatMap((line) => {
    const [, name, labels = "", value] = /^([a-z_:]\w*)(?:\{(.*)\})? (\S+)$/.exec(line) ?? [];
    if (name === undefined) return [];
    const pairs = [...labels.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)];
    const entries = pairs.map(([, key = "", text = ""]) => [key, text] as const);
    return [{ name, labels: Object.fromEntries(entries), value: Number(value) }];
  });
  return {
    text,
    samples,
    sum: (name, labels = {}) =>
      samples
        .filter((one) => one.name === name)
        .filter((one) => Object.entries(labels).every(([key, text]) => one.labels[key] === text))
        .reduce((sum, { value }) => sum + value, 0),
  };
}

/** Runs promtool on files of a folder of its own. @returns its exit code and all that it said; undefined without it. */
export async function promtool(
  args: readonly string[],
  files: Readonly<Record<string, string>>,
  stdin = "",
): Promise<{ readonly code: number; readonly said: string } | undefined> {
  if (Bun.which("promtool") === null) {
    leftOut("promtool, of Debian's package prometheus");
    return undefined;
  }
  const cwd = await mkdtemp(join(tmpdir(), "imagesvc-promtool-"));
  try {
    await Promise.all(
      Object.entries(files).map(([name, text]) => Bun.write(join(cwd, name), text)),
    );
    const run = Bun.spawn(["promtool", ...args], {
      cwd,
      stdin: new Blob([stdin]),
      stdout: "pipe",
      stderr: "pipe",
    });
    const [out, err, code] = await Promise.all([run.stdout.text(), run.stderr.text(), run.exited]);
    return { code, said: out + err };
  } finally {
    await rm(cwd, { recursive: true, force: true });
  }
}
