/** Whether the documents say what the program does, and all of it. Pure: texts in, faults out. */
import { posix } from "node:path";
import { flagOf } from "../../src/config.ts";
import type { Setting } from "../../src/setting.ts";
import { figurePlaces, figureText } from "../bench/report.ts";

type Settings = Readonly<Record<string, Setting<unknown>>>;
type Problems = Readonly<Record<string, { readonly status: number; readonly explanation: string }>>;

/** The README's table of settings, as it must be. */
export function settingsTable(settings: Settings): string[] {
  return [
    "| setting | default | what it does |",
    ...Object.entries(settings).map(
      ([name, { shownDefault, doc }]) => `| \`${name}\` | ${shownDefault} | ${doc} |`,
    ),
  ];
}

/** The table of problems in docs/errors.md, as it must be. */
export function problemsTable(problems: Problems): string[] {
  return [
    "| status | code | what it means, and what to do |",
    ...Object.entries(problems).map(
      ([code, { status, explanation }]) => `| ${status} | \`${code}\` | ${explanation} |`,
    ),
  ];
}

/** Compares the table that has the same header line with what it must be, both ways. */
export function tableFaults(document: string, expected: readonly string[]): string[] {
  const [header = ""] = expected;
  const lines = document.split("\n");
  const start = lines.indexOf(header);
  if (start === -1) return [`there is no table with the line: ${header}`];
  const rows = lines.slice(start + 2);
  const end = rows.findIndex((line) => !line.startsWith("|"));
  const found = [header, ...rows.slice(0, end === -1 ? undefined : end)];
  const faults = [
    ...expected.filter((row) => !found.includes(row)).map((row) => `add the row: ${row}`),
    ...found.filter((row) => !expected.includes(row)).map((row) => `not true (any more): ${row}`),
  ];
  const inOrder = found.join("\n") === expected.join("\n");
  return faults.length > 0 || inOrder ? faults : [`other order than in the source: ${header}`];
}

/** Settings that `--help` does not name: as a flag, or a secret by its own name. */
export function helpFaults(help: string, settings: Settings): string[] {
  return Object.entries(settings)
    .map(([name, { secret }]) => `  ${secret ? name : `${flagOf(name)} <value>`}`)
    .filter((line) => !help.split("\n").includes(line))
    .map((line) => `--help does not name${line.slice(1)}`);
}

/**
 * Compares the map with the files that exist. Its rooms are headings such as "### `src/http/`", each
 * with a table whose rows begin with a file's path inside the room.
 *
 * @param paths of every file that belongs on it, from the repository's root.
 */
export function mapFaults(map: string, paths: readonly string[]): string[] {
  const named: string[] = [];
  let room: string | undefined;
  for (const line of map.split("\n")) {
    if (line.startsWith("#")) room = /^### `(.+\/)`$/.exec(line)?.[1];
    const file = /^\| `([^`]+)` \|/.exec(line)?.[1];
    if (room !== undefined && file !== undefined) named.push(room + file);
  }
  return [
    ...paths.filter((path) => !named.includes(path)).map((path) => `not on the map: ${path}`),
    ...named.filter((path) => !paths.includes(path)).map((path) => `does not exist: ${path}`),
  ];
}

/** Commands `bun run …` that are no scripts, and other versions of Bun than the pinned one. */
export function commandFaults(
  document: string,
  scripts: readonly string[],
  pinnedBun: string,
): string[] {
  const commands = [...document.matchAll(/\bbun(?:@[\w.]+)? run ([\w:-]+)(?![\w./-])/g)];
  const versions = [...document.matchAll(/\bbun@[\w.]*\w/g)];
  return [
    ...commands.flatMap(([text, script = ""]) =>
      scripts.includes(script) ? [] : [`there is no such script: ${text}`],
    ),
    ...versions.flatMap(([text]) =>
      text === pinnedBun ? [] : [`not the pinned version: ${text}`],
    ),
  ];
}

/**
 * Links that lead nowhere.
 *
 * @param path of the document, from the repository's root.
 * @param exists tells whether there is a file of that path.
 * @param documents texts of the documents, by path, for links to their headings.
 */
export function linkFaults(
  path: string,
  exists: (path: string) => boolean,
  documents: ReadonlyMap<string, string>,
): string[] {
  const text = withoutCode(documents.get(path) ?? "");
  return [...text.matchAll(/\]\(([^)\s]+)\)/g)].flatMap(([, target = ""]) => {
    if (/^[a-z]+:/.test(target)) return [];
    const [file = "", heading] = target.split("#");
    const linked = file === "" ? path : posix.normalize(posix.join(posix.dirname(path), file));
    if (!exists(linked)) return [`${path} links to ${target}, which does not exist`];
    if (heading === undefined || headingsOf(documents.get(linked) ?? "").includes(heading))
      return [];
    return [`${path} links to ${target}, but there is no such heading`];
  });
}

/** Names of headings in links, as GitHub makes them. */
function headingsOf(text: string): string[] {
  return [...withoutCode(text).matchAll(/^#+ (.+)$/gm)].map(([, title = ""]) =>
    title
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, "")
      .replaceAll(" ", "-"),
  );
}

function withoutCode(text: string): string {
  return text.replaceAll(/^```[\s\S]*?^```$/gm, "");
}

/**
 * Figures without a place in a document, and places of no figure.
 *
 * @param summaries names of places that other figures fill.
 */
export function figureFaults(
  document: string,
  figures: readonly string[],
  summaries: readonly string[] = [],
): string[] {
  const places = figurePlaces(document);
  return [
    ...figures
      .filter((name) => !places.includes(name))
      .map((name) => `add <!-- figure:${name} --> and <!-- /figure:${name} -->`),
    ...places
      .filter((name) => !figures.includes(name) && !summaries.includes(name))
      .map((name) => `there is no figure ${name}`),
    ...places
      .filter((name, index) => places.indexOf(name) !== index)
      .map((name) => `two places for ${name}`),
    ...places
      .filter((name) => figureText(document, name) === undefined)
      .map((name) => `no end of the place for ${name}`),
    ...places
      .filter((name) => figureText(document, name) === "")
      .map((name) => `nothing is written yet for ${name}`),
  ];
}

/**
 * Folders of one machine or one person, which mean nothing elsewhere. The home of `ec2-user`, whom every
 * Amazon Linux has, is none of them.
 */
export function machinePathFaults(path: string, text: string, root: string): string[] {
  const home = /(?<![\w$.])\/(?:home|Users|root)\/(?!ec2-user\b)[\w.-]+/.exec(text)?.[0];
  const found = text.includes(`${root}/`) ? root : home;
  return found === undefined ? [] : [`${path} names a folder of one machine: ${found}`];
}
