/**
 * Says in one line that a test could not be done here, for want of a tool, a picture or a key.
 *
 * @throws Error where `REQUIRE_ALL` is set: there nothing may be left out silently.
 */
export function leftOut(what: string): void {
  if (Bun.env["REQUIRE_ALL"]) throw new Error(`REQUIRE_ALL is set, but this was left out: ${what}`);
  process.stderr.write(`left out: ${what}\n`);
}
