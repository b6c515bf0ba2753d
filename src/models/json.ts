/** Whether a parsed value is an object with names, and no list. */
export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/**
 * Finds a name that an object of a JSON text has twice: parsers take the last, each without a word.
 *
 * Reads the text once, sign by sign: a regular expression gives up silently within a string of a million characters.
 *
 * @param text valid JSON.
 */
export function findDoubledName(text: string): string | undefined {
  /** The names of each object that is open; undefined for a list. */
  const open: (Set<string> | undefined)[] = [];
  let last = { start: 0, end: 0 };
  for (let at = 0; at < text.length; at += 1) {
    const sign = text[at];
    if (sign === '"') {
      last = { start: at, end: endOfString(text, at) };
      at = last.end - 1;
    } else if (sign === "{") open.push(new Set());
    else if (sign === "[") open.push(undefined);
    else if (sign === "}" || sign === "]") open.pop();
    else if (sign === ":") {
      // Only spelt out are "a" and "\u0061" the same.
      const name = String(JSON.parse(text.slice(last.start, last.end)));
      const names = open.at(-1);
      if (names?.has(name)) return name;
      names?.add(name);
    }
  }
  return undefined;
}

/** @returns where the text goes on behind the string that starts there. */
function endOfString(text: string, start: number): number {
  let at = start + 1;
  while (at < text.length && text[at] !== '"') at += text[at] === "\\" ? 2 : 1;
  return at + 1;
}
