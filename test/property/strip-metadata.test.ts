import { expect, test } from "bun:test";
import fc from "fast-check";
import { stripJpegMetadata, stripPngMetadata } from "../../src/image/strip-metadata.ts";
import { makeJpeg, makePng } from "../support/pictures.ts";

const pictures = [
  ["JPEG", stripJpegMetadata, await makeJpeg({ gps: true, xmp: "caption", comment: "comment" })],
  [
    "progressive JPEG",
    stripJpegMetadata,
    await makeJpeg({ progressive: true, comment: "comment" }),
  ],
  ["PNG", stripPngMetadata, await makePng({ orientation: 1 })],
] as const;

const edits = fc.array(fc.record({ at: fc.nat(), byte: fc.nat(255) }), { maxLength: 8 });

test.each(pictures)(
  "a %s with any bytes changed is stripped or given up, and stays stripped",
  (_, strip, picture) => {
    fc.assert(
      fc.property(edits, fc.nat(picture.length), (changes, length) => {
        const bytes = picture.slice(0, length % 3 === 0 ? length : picture.length);
        for (const { at, byte } of changes) if (bytes.length > 0) bytes[at % bytes.length] = byte;
        const once = strip(bytes);
        if (once === undefined) return;
        expect(once.length).toBeLessThanOrEqual(bytes.length);
        expect(strip(once)).toEqual(once);
      }),
      { numRuns: 1000 },
    );
  },
);

test.each(pictures)(
  "any bytes behind the start of a %s are stripped or given up",
  (_, strip, picture) => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(40), (tail, kept) => {
        const bytes = new Uint8Array([...picture.subarray(0, kept), ...tail]);
        expect(strip(bytes)?.length ?? 0).toBeLessThanOrEqual(bytes.length);
      }),
      { numRuns: 500 },
    );
  },
);
