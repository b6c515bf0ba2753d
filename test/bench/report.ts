/** How figures become a part of BENCHMARKS.md: texts in, texts out. */

/** What was measured of one thing, and what it is compared with. */
export interface Finding {
  readonly what: string;
  readonly measured: string;
  /** What the same run gave for the reference. */
  readonly reference?: string;
  /** How the two compare. */
  readonly compared?: string;
  readonly wanted?: string;
  /** Whether that is so; left out where nothing is wanted. */
  readonly isMet?: boolean;
}

/** The two first lines of a table of findings: README.md shows them all, so rows of less interest have tables of their own. */
export const findingsHead: readonly string[] = [
  "| what | measured | reference in the same run | compared | wanted | |",
  "|---|---|---|---|---|---|",
];

/** A line of that table. */
export function findingRow(finding: Finding): string {
  const { what, measured, reference = "", compared = "", wanted = "", isMet } = finding;
  const verdict = isMet === undefined ? "" : verdictOf(isMet);
  return tableRow([what, measured, reference, compared, wanted, verdict]);
}

/** Whether something is as wanted, for a table's last cell. */
export function verdictOf(isMet: boolean): string {
  return isMet ? "met" : "**missed**";
}

/** A line of any table. */
export function tableRow(cells: readonly string[]): string {
  return `| ${cells.join(" | ")} |`;
}

/** The first line of a table and the line under it. */
export function tableHead(names: readonly string[]): readonly string[] {
  return [tableRow(names), `|${"---|".repeat(names.length)}`];
}

/** What a figure has printed as Markdown: tables stay, of the rest the first line is a sentence, the others are a list. */
export function asMarkdown(lines: readonly string[]): string {
  const text = lines.map((line, index) => {
    const [isRow, followsRow] = [line, lines[index - 1] ?? ""].map((one) => one.startsWith("|"));
    if (index === 0) return line;
    const isHead = lines[index + 1]?.startsWith("|---") ?? false;
    if (isRow) return `${followsRow && !isHead ? "" : "\n"}${line}`;
    return `${followsRow || index === 1 ? "\n" : ""}- ${line}`;
  });
  return text.join("\n");
}

/** Names of the figures that a document has a place for, in its order. */
export function figurePlaces(document: string): readonly string[] {
  return [...document.matchAll(/^<!-- figure:([\w-]+) -->$/gm)].map(([, name = ""]) => name);
}

/** What a document has in a figure's place; undefined where it has no such place. */
export function figureText(document: string, name: string): string | undefined {
  const found = placeOf(document, name);
  return found && document.slice(found.from, found.to).trim();
}

/** Puts a figure in its place; a document without such a place stays as it is. */
export function withFigure(document: string, name: string, text: string): string {
  const found = placeOf(document, name);
  if (found === undefined) return document;
  return `${document.slice(0, found.from)}\n${text}\n\n${document.slice(found.to)}`;
}

/** Every finding that a document has, as one table: what a short summary of it shows. */
export function findingsOf(document: string): string {
  const [names = ""] = findingsHead;
  const rows: string[] = [];
  let isInside = false;
  for (const line of document.split("\n")) {
    if (line === names) isInside = true;
    else if (!line.startsWith("|")) isInside = false;
    else if (isInside && !line.startsWith("|---")) rows.push(line);
  }
  return [...findingsHead, ...rows].join("\n");
}

/** From after the line of its start to before that of its end. */
function placeOf(document: string, name: string) {
  const [start, end] = [`<!-- figure:${name} -->\n`, `<!-- /figure:${name} -->`];
  const at = document.indexOf(start);
  const to = document.indexOf(end);
  return at === -1 || to < at ? undefined : { from: at + start.length, to };
}
