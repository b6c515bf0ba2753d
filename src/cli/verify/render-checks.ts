/** What `models verify` prints for people. */
import type { Check } from "./check.ts";

const headings = ["verdict", "expected", "got", "difference", "allowed", "what"] as const;
const decimals = 6;

/** The sentences first, one a line, and then the table of all numbers. */
export function renderChecks(checks: readonly Check[]): string {
  const sentences = checks
    .filter(({ numbers }) => numbers === undefined)
    .map(({ verdict, what, found }) => `${verdict.padEnd(8)} ${what}: ${found}\n`);
  const rows = checks.flatMap(({ verdict, what, found, numbers }) => {
    if (numbers === undefined) return [];
    const { expected, got, difference, allowed } = numbers;
    const columns = [expected.toFixed(decimals), got.toFixed(decimals)];
    return [[verdict, ...columns, brief(difference), brief(allowed), `${what} (${found})`]];
  });
  return [...sentences, ...renderTable(rows)].join("");
}

function renderTable(rows: readonly (readonly string[])[]): string[] {
  if (rows.length === 0) return [];
  const all = [headings, ...rows];
  const widths = headings.map((_, column) =>
    Math.max(...all.map((row) => row[column]?.length ?? 0)),
  );
  const lines = all.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd(),
  );
  return ["\n", ...lines.map((line) => `${line}\n`)];
}

/** Differences span many powers of ten: two digits tell enough. */
function brief(value: number): string {
  return String(Number(value.toPrecision(2)));
}
