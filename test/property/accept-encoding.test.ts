/** `Accept-Encoding` as clients write it, and as they should not. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { chooseCoding } from "../../src/net/accept-encoding.ts";

/** What each header asks for, and whether it refuses what is not coded. */
const known: readonly (readonly [
  header: string | null,
  coding: "gzip" | "zstd" | undefined,
  isNeeded: boolean,
])[] = [
  [null, undefined, false],
  ["", undefined, false],
  ["identity", undefined, false],
  ["gzip", "gzip", false],
  ["x-gzip", "gzip", false],
  ["GZip", "gzip", false],
  ["gzip, deflate", "gzip", false],
  ["gzip, deflate, br", "gzip", false],
  ["gzip, deflate, br, zstd", "zstd", false],
  ["br", undefined, false],
  ["zstd;q=0.5, gzip", "gzip", false],
  ["gzip;q=0.5,zstd;q=0.500", "zstd", false],
  ["gzip;q=0", undefined, false],
  ["gzip;q=0.0, zstd;q=0.001", "zstd", false],
  ["gzip\t; q=1.000", "gzip", false],
  ["*", "zstd", false],
  ["*;q=0", undefined, false],
  ["gzip, *;q=0", "gzip", true],
  ["zstd;q=0, *", "gzip", false],
  ["identity;q=0, gzip", "gzip", true],
  ["identity;q=0", undefined, false],
  ["identity;q=0, *;q=0.1", "zstd", true],
  ["identity;q=1, gzip;q=0.5", undefined, false],
  ["identity;q=0.5, gzip;q=0.5", "gzip", false],
  ["*;q=0, identity", undefined, false],
  // Broken members ask for nothing; the others still count.
  ["gzip;q=2", undefined, false],
  ["gzip;q=0.1234", undefined, false],
  ["gzip;level=9", undefined, false],
  [";;,gzip=1,,  ,zstd", "zstd", false],
  ["gzip;q=0, gzip", undefined, false],
];

for (const [header, coding, isNeeded] of known) {
  test(`${JSON.stringify(header)} asks for ${coding ?? "nothing"}`, () => {
    expect(chooseCoding(header)).toEqual({ coding, isNeeded });
  });
}

const weight = fc.integer({ min: 0, max: 1000 });
const weightText = (thousandths: number) => `;q=${(thousandths / 1000).toFixed(3)}`;

test("the coding with the greatest weight is chosen, whatever else is listed in whatever order", () => {
  const others = fc.subarray(["br", "deflate", "compress"]);
  fc.assert(
    fc.property(weight, weight, others, fc.boolean(), (zstd, gzip, names, isReversed) => {
      const list = [
        `zstd${weightText(zstd)}`,
        `gzip${weightText(gzip)}`,
        ...names.map((name) => `${name};q=1`),
      ];
      const { coding } = chooseCoding((isReversed ? list.toReversed() : list).join(", "));
      if (zstd === 0 && gzip === 0) expect(coding).toBeUndefined();
      else expect(coding).toBe(zstd >= gzip ? "zstd" : "gzip");
    }),
  );
});

test("no text makes it throw, and what is chosen is in it, or a star is", () => {
  const pieces = fc.constantFrom("gzip", "zstd", "identity", "*", ";q=", "0.5", "0", ",", " ", "é");
  const text = fc.oneof(
    fc.string(),
    fc.array(pieces).map((list) => list.join("")),
  );
  fc.assert(
    fc.property(text, (header) => {
      const { coding, isNeeded } = chooseCoding(header);
      if (coding === undefined) return expect(isNeeded).toBe(false);
      expect(header.includes("*") || header.toLowerCase().includes(coding)).toBe(true);
    }),
  );
});
