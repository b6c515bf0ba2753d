import { expect, test } from "bun:test";
import { createLookUp } from "../../src/sources/name-lookup.ts";

test("a name of this machine is looked up without a name server, IPv4 first", async () => {
  const [first, ...others] = await createLookUp(1)("localhost");
  expect(first).toBe("127.0.0.1");
  expect(new Set(others)).toEqual(new Set(others.filter((address) => address === "::1")));
});

test("one look-up more than may be under way is refused, and only then", async () => {
  const lookUp = createLookUp(1);
  const first = lookUp("localhost");
  expect(lookUp("localhost")).rejects.toMatchObject({ code: "overloaded", retryAfterS: 10 });
  await first;
  expect(await lookUp("localhost")).toContain("127.0.0.1");
});
