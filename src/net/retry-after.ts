/** The three forms of an HTTP-date (RFC 9110 §5.6.7); `Date.parse` alone takes far more than these. */
const httpDate =
  /^(?:Mon|Tues?|Wed(?:nes)?|Thu(?:rs)?|Fri|Sat(?:ur)?|Sun)(?:day)?,? [ \w:-]{15,24}$/;

/**
 * Reads a `Retry-After` header: a number of seconds, or a date (RFC 9110 §10.2.3).
 *
 * @param header as received; null when there was none.
 * @param wallClockMs what the time is, as `Date.now()` gives it.
 * @returns seconds from now, 0 or more; undefined when the header is missing or means nothing.
 */
export function parseRetryAfter(header: string | null, wallClockMs: number): number | undefined {
  const text = header?.trim() ?? "";
  if (/^\d{1,15}$/.test(text)) return Number(text);
  if (!httpDate.test(text)) return undefined;
  // asctime's form names no zone; like the other two it is in UTC.
  const dateMs = Date.parse(text.endsWith("GMT") ? text : `${text} GMT`);
  return Number.isNaN(dateMs) ? undefined : Math.max(0, (dateMs - wallClockMs) / 1000);
}
