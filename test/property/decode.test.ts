import { beforeAll, expect, test } from "bun:test";
import fc from "fast-check";
import { Problem } from "../../src/errors.ts";
import { configureSharp, decodeImage } from "../../workers/decode.ts";
import { makeAvif, makeGif, makeJpeg, makePng, makeTiff, makeWebp } from "../support/pictures.ts";

beforeAll(configureSharp);

const small = { width: 24, height: 16 };
const refusals: readonly string[] = ["unsupported-image", "too-many-pixels", "undecodable-image"];
const makers = [makeJpeg, makePng, makeWebp, makeGif, makeAvif, makeTiff];

test("damaged pictures give pixels or a problem, and nothing else", async () => {
  const pictures = await Promise.all(makers.map((make) => make(small)));
  const damage = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 12 });
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...pictures), damage, async (picture, hits) => {
      const bytes = picture.slice();
      for (const [at, byte] of hits) bytes[at % bytes.length] = byte;
      const outcome = await decodeImage(
        { kind: "memory", bytes },
        { maxPixels: 1_000_000, orientation: "apply" },
      ).catch((error: unknown) => error);
      if (outcome instanceof Problem) {
        expect(refusals).toContain(outcome.code);
      } else {
        expect(outcome).toMatchObject({ rgb: expect.any(Uint8Array) });
      }
    }),
    { numRuns: 200 },
  );
});
