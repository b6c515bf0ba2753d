/** What somebody may have meant who wrote something else. */

/** Changes of one character that a slip of the hand may be. */
const maxChanges = 2;

/**
 * The closest of the names, as the end of a sentence.
 *
 * @returns such as `: did you mean "serve"?`; empty where none is close.
 */
export function suggestionFor(written: string, names: readonly string[]): string {
  // Nothing of ours is as long: a text without bounds is not worth the square of its length.
  if (written.length > 64) return "";
  const ranked = names
    .map((name) => ({ name, changes: countChanges(written, name) }))
    .filter(({ name, changes }) => changes <= maxChanges && changes < name.length / 2)
    .sort((a, b) => a.changes - b.changes);
  return ranked[0] === undefined ? "" : `: did you mean "${ranked[0].name}"?`;
}

/** Levenshtein's distance: insertions, deletions and replacements of one character. */
function countChanges(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, index) => index);
  for (const [i, letter] of [...from].entries()) {
    const next = [i + 1];
    for (const [j, other] of [...to].entries()) {
      const replaced = (row[j] ?? 0) + (letter === other ? 0 : 1);
      next.push(Math.min(replaced, (row[j + 1] ?? 0) + 1, (next[j] ?? 0) + 1));
    }
    row = next;
  }
  return row.at(-1) ?? 0;
}
