/** Order statistics of measurements: the machine is noisy, so means would follow the worst of it. */

/**
 * The value below which a share of the values lies, by the nearest rank.
 *
 * @param values in any order, at least one; left untouched.
 * @param percent 0 to 100.
 * @throws RangeError when there are no values.
 */
export function percentile(values: readonly number[], percent: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  const rank = Math.max(1, Math.ceil((percent / 100) * sorted.length));
  const value = sorted[rank - 1];
  if (value === undefined) throw new RangeError("nothing was measured");
  return value;
}

/**
 * The middle value; between the two middle ones where their number is even.
 *
 * @throws RangeError when there are no values.
 */
export function median(values: readonly number[]): number {
  const reversed = values.map((value) => -value);
  return (percentile(values, 50) - percentile(reversed, 50)) / 2;
}

/** The one whose values have the highest median; undefined where there is none. */
export function highest<One>(
  all: readonly One[],
  valuesOf: (one: One) => readonly number[],
): One | undefined {
  return all.toSorted((a, b) => median(valuesOf(b)) - median(valuesOf(a)))[0];
}

/** The median and, in brackets, the range: `38.2 (37.0 to 39.1)`. */
export function withRange(values: readonly number[], digits: number): string {
  const [middle, least, most] = [median(values), Math.min(...values), Math.max(...values)].map(
    (value) => value.toFixed(digits),
  );
  return `${middle} (${least} to ${most})`;
}

/** Values as `p50 4.1, p99 9.8, longest 12.0`. */
export function withTail(values: readonly number[], digits: number): string {
  const [p50, p99, longest] = [50, 99, 100].map((percent) =>
    percentile(values, percent).toFixed(digits),
  );
  return `p50 ${p50}, p99 ${p99}, longest ${longest}`;
}

/** Some values over others, round by round: what was measured in the same minute is compared. */
export function ratios(over: readonly number[], under: readonly number[]): readonly number[] {
  return over.flatMap((value, round) => {
    const other = under[round];
    return other === undefined ? [] : [value / other];
  });
}

/** Ends that lie closer together are of one batch. */
const lumpGapMs = 10;

/**
 * Ends a second of what ends in lumps, as answers do that share a batch: counted from the end of the first lump to the
 * end of the last but one, so that lumps are in it whole, however the time was cut off. Of two workers by turns the lumps of
 * the other may be in it by halves: what is missing at one end is mostly there at the other.
 *
 * @param endedAt ms, ascending.
 * @returns undefined where there are fewer than three lumps.
 */
export function lumpRate(endedAt: readonly number[]): number | undefined {
  const lasts = endedAt.flatMap((at, index) => {
    const next = endedAt[index + 1];
    return next === undefined || next - at > lumpGapMs ? [index] : [];
  });
  const [first, last] = [lasts[0], lasts.at(-2)];
  if (first === undefined || last === undefined || lasts.length < 3) return undefined;
  const [from, to] = [endedAt[first], endedAt[last]];
  return from === undefined || to === undefined ? undefined : ((last - first) * 1000) / (to - from);
}
