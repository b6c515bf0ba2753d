/** Conditional requests (RFC 9110, sections 8.8.3 and 13.1.2). */

/** An entity tag in a list: maybe weak, then its text in quotes, which may hold commas but no quotes. */
const entityTag = /[\t ,]*(?:W\/)?("[\x21\x23-\x7e\x80-\xff]*")[\t ]*(?=,|$)/y;

/**
 * Whether a client has what it asks for already.
 *
 * @param header `If-None-Match` as it came; null where there is none.
 * @param current entity tag of what it would get, with its quotes, and without `W/`.
 * @returns true where the header names it, by weak comparison, or is `*`. A broken list names nothing from
 *   its fault on.
 */
export function matchesEntityTag(header: string | null, current: string): boolean {
  if (header === null) return false;
  if (header.trim() === "*") return true;
  entityTag.lastIndex = 0;
  for (let match = entityTag.exec(header); match !== null; match = entityTag.exec(header)) {
    if (match[1] === current) return true;
  }
  return false;
}
