/** Whether a parsed value is an object with names, and no list. */
export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** One token of JSON: a string, or a sign that opens, closes or parts. */
const token = /"(?:[^"\\]|\\.)*"|[{}[\]:]/g;

/**
 * Finds a name that an object of a JSON text has twice: parsers take the last, each without a word.
 *
 * @param text valid JSON.
 */
export function findDoubledName(text: string): string | undefined {
  /** The names of each object that is open; undefined for a list. */
  const open: (Set<string> | undefined)[] = [];
  let last = "";
  for (const [part] of text.matchAll(token)) {
    if (part === "{") open.push(new Set());
    else if (part === "[") open.push(undefined);
    else if (part === "}" || part === "]") open.pop();
    else if (part === ":") {
      // Only spelt out are "a" and "\u0061" the same.
      const name = String(JSON.parse(last));
      const names = open.at(-1);
      if (names?.has(name)) return name;
      names?.add(name);
    }
    last = part;
  }
  return undefined;
}
