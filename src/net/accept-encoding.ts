/** Which content coding an answer gets (RFC 9110, sections 8.4.1 and 12.5.3). */

/** The codings that answers come in, besides none: zstd (RFC 8878) is both smaller and faster. */
export const contentCodings = ["zstd", "gzip"] as const;

export type ContentCoding = (typeof contentCodings)[number];

export interface CodingChoice {
  /** The coding that the client likes best of ours; undefined where it wants none. */
  readonly coding: ContentCoding | undefined;
  /** Whether the client refuses what is not coded. */
  readonly isNeeded: boolean;
}

/** A coding and its weight: at most three digits behind the point. */
const member = /^([!#$%&'*+.^_`|~0-9a-z-]+)[\t ]*(?:;[\t ]*q=(0(?:\.\d{0,3})?|1(?:\.0{0,3})?))?$/;

/** Members that are read; more than there are codings. */
const maxMembers = 64;

/**
 * Chooses the coding of an answer.
 *
 * @param header `Accept-Encoding` as it came; null where there is none: then nothing is coded. What is broken in
 *   it asks for nothing.
 */
export function chooseCoding(header: string | null): CodingChoice {
  const weights = weightsOf(header ?? "");
  const others = weights.get("*") ?? 0;
  const weightOf = (coding: ContentCoding) =>
    weights.get(coding) ?? (coding === "gzip" ? weights.get("x-gzip") : undefined) ?? others;
  // Of equal ones the first of ours.
  const [best] = contentCodings.toSorted((a, b) => weightOf(b) - weightOf(a));
  const weight = best === undefined ? 0 : weightOf(best);
  const identity = weights.get("identity");
  // Who does not name it takes it where nothing else is to be had, unless `*` is refused.
  const isNeeded = (identity ?? (weights.has("*") ? others : 1)) === 0 && weight > 0;
  const isWanted = weight > 0 && weight >= (identity ?? 0);
  return { coding: isWanted ? best : undefined, isNeeded };
}

/** Of each coding in lower case; the first of a name counts. */
function weightsOf(header: string): ReadonlyMap<string, number> {
  const weights = new Map<string, number>();
  for (const text of header.toLowerCase().split(",", maxMembers)) {
    const [, coding, weight = "1"] = member.exec(text.trim()) ?? [];
    if (coding !== undefined && !weights.has(coding)) weights.set(coding, Number(weight));
  }
  return weights;
}
