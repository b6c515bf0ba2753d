/** What can be read from a unit that somebody else wrote. */

/** Lines as systemd sees them: a backslash at the end of one goes on in the next. */
export function unitLines(unit: string): string[] {
  return unit
    .replaceAll(/\\\n\s*/g, " ")
    .replace(/\n$/, "")
    .split("\n");
}

/** The last value of a plain line, such as that of `User=`. */
export function lastValue(unit: string, name: string): string | undefined {
  const values = unitLines(unit).flatMap((line) => {
    const [before = "", ...rest] = line.split("=");
    return before.trim() === name ? [rest.join("=").trim()] : [];
  });
  return values.at(-1) || undefined;
}

/**
 * The variables of its `Environment=` lines.
 *
 * @see systemd.exec(5): a later one wins, and an empty line takes all away.
 */
export function environmentOf(unit: string): ReadonlyMap<string, string> {
  const variables = new Map<string, string>();
  for (const line of unitLines(unit)) {
    const assignments = /^\s*Environment\s*=(.*)$/.exec(line)?.[1];
    if (assignments === undefined) continue;
    if (assignments.trim() === "") variables.clear();
    for (const word of wordsOf(assignments)) {
      const [name = "", ...value] = word.split("=");
      if (value.length > 0) variables.set(name, value.join("="));
    }
  }
  return variables;
}

/** Words between spaces, without their quotes and escapes; systemd.syntax(7), "Quoting". */
function wordsOf(text: string): string[] {
  const words = text.match(/(?:"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|\\.|[^\s"'\\])+/g) ?? [];
  return words.map((word) =>
    word
      .replaceAll(
        /"((?:\\.|[^"\\])*)"|'((?:\\.|[^'\\])*)'/g,
        (_, double, single) => double ?? single,
      )
      .replaceAll(/\\(.)/g, "$1")
      .replaceAll("%%", "%"),
  );
}

/** The line without what may be a secret, to be shown. */
export function maskSecrets(line: string): string {
  if (/^\s*Environment\s*=/.test(line)) {
    const names = [...environmentOf(line).keys()].map((name) => `${name}=***`);
    return `Environment=${names.join(" ")}`;
  }
  return line
    .replace(/^(\s*SetCredential(?:Encrypted)?\s*=[^:]*:).*/, "$1***")
    .replaceAll(secretArguments, "$1***")
    .replaceAll(/nvapi-[\w-]+/g, "***")
    .replaceAll(/\/\/[^/\s]*@/g, "//***@");
}

/** `NAME_KEY=value`, `--name-key value`. */
const secretArguments =
  /(--[\w-]*(?:key|token|secret|password)[\w-]*[= ]|(?:key|token|secret|password)\w*=)(?:"[^"]*"|'[^']*'|\S+)/gi;
