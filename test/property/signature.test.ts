import { expect, test } from "bun:test";
import fc from "fast-check";
import { signatureBytes, sniffFormat } from "../../src/image/signature.ts";
import { ascii, concat, foreignHeads, makeIsoMediaHead } from "../support/pictures.ts";

const formats = ["jpg", "png", "webp", "gif", "avif", "tif"];
const bytes = fc.uint8Array({ maxLength: 2 * signatureBytes });

function expectVerdict(head: Uint8Array): void {
  const sniffed = sniffFormat(head);
  if (typeof sniffed === "string") expect(formats).toContain(sniffed);
  else expect(sniffed.unsupported).toMatch(/^[\x20-\x7e]+$/);
}

test("any bytes have a verdict", () => {
  fc.assert(fc.property(bytes, expectVerdict));
});

test("any bytes behind a known start, cut anywhere, have a verdict", () => {
  const starts = fc.constantFrom(
    ...Object.values(foreignHeads),
    ...["RIFF", "GIF8", "\x89PNG", "II*\0", "\0\0\0\x0c", "<", "{", ""].map(ascii),
    makeIsoMediaHead("avif", ["avif", "mif1"]),
  );
  fc.assert(
    fc.property(starts, bytes, fc.nat(64), (start, rest, cut) => {
      expectVerdict(concat(start, rest).subarray(0, start.length + rest.length - cut));
      expectVerdict(start.subarray(0, cut));
    }),
  );
});

test("a file type box of any size and any brands has a verdict", () => {
  fc.assert(
    fc.property(bytes, (rest) => {
      const head = concat(ascii("\0\0\0\0ftyp"), rest);
      head.set(rest.subarray(0, 4));
      expectVerdict(head);
    }),
  );
});

test("bytes beyond the head change nothing", () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: signatureBytes, maxLength: 1024 }), (long) => {
      expect(sniffFormat(long)).toEqual(sniffFormat(long.subarray(0, signatureBytes)));
    }),
  );
});
