import { describe, expect, test } from "bun:test";
import { type ImageFormat, signatureBytes, sniffFormat } from "../../src/image/signature.ts";
import {
  ascii,
  type Bytes,
  foreignHeads,
  makeAvif,
  makeGif,
  makeIsoMediaHead,
  makeJpeg,
  makePng,
  makeTiff,
  makeWebp,
} from "../support/pictures.ts";

const makers: readonly (readonly [ImageFormat, () => Promise<Bytes>])[] = [
  ["jpg", () => makeJpeg({ orientation: 6, comment: "<html>" })],
  ["png", makePng],
  ["webp", makeWebp],
  ["gif", makeGif],
  ["avif", makeAvif],
  ["tif", makeTiff],
];

describe("a decoded format", () => {
  for (const [format, make] of makers) {
    test(`${format} is known by its first bytes`, async () => {
      const bytes = await make();
      expect(sniffFormat(bytes)).toBe(format);
      expect(sniffFormat(bytes.subarray(0, signatureBytes))).toBe(format);
    });
  }

  test("TIFF comes in both byte orders, and as BigTIFF", async () => {
    expect(sniffFormat(await makeTiff({ big: true }))).toBe("tif");
    for (const head of ["II*\0", "MM\0*", "II+\0", "MM\0+"]) {
      expect(sniffFormat(ascii(head))).toBe("tif");
    }
  });

  test.each([
    ["avif", []],
    ["avis", []],
    ["mif1", ["mif1", "avif", "miaf"]],
    ["msf1", ["avis"]],
  ])("AVIF's brand is the major one or a compatible one: %s %p", (major, compatible) => {
    expect(sniffFormat(makeIsoMediaHead(major, compatible))).toBe("avif");
  });

  test("a brand beyond the end of the file type box does not count", () => {
    const head = makeIsoMediaHead("mif1", ["mif1", "avif"]);
    head[3] = 20;
    expect(sniffFormat(head)).toMatchObject({ unsupported: expect.stringContaining("HEIF") });
  });
});

describe("anything else", () => {
  for (const [word, head] of Object.entries(foreignHeads)) {
    test(`${word} is named as what it is`, () => {
      expect(sniffFormat(head)).toEqual({ unsupported: expect.stringContaining(word) });
    });
  }

  test.each([
    ["HEIC", makeIsoMediaHead("mif1", ["mif1", "heic"])],
    ["HEIC", makeIsoMediaHead("heix", ["mif1", "avif", "heix"])],
    ["video", makeIsoMediaHead("qt  ", ["qt  "])],
    ["JPEG XL", ascii("\0\0\0\x0cJXL \r\n\x87\n\0\0\0\x14ftypjxl ")],
    ["SVG", ascii("\xef\xbb\xbf  <!-- drawn by hand -->\n<svg viewBox='0 0 1 1'/>")],
    ["XML", ascii("<?xml version='1.0'?><rss/>")],
    ["HTML", ascii("\r\n<html lang=en>")],
    ["data: URI", ascii("data:image/png;base64,iVBORw0KGgo=")],
    ["base64", ascii("/9j/4AAQSkZJRgABAQAAAQABAAD")],
    ["URL", ascii("https://example.com/a.jpg")],
    ["plain text", ascii("404 page not found\n")],
    ["empty", new Uint8Array()],
    ["00 01 02 fe", Uint8Array.of(0, 1, 2, 0xfe)],
  ])("%s is named as what it is", (word, head) => {
    expect(sniffFormat(head)).toEqual({ unsupported: expect.stringContaining(word) });
  });

  test("a HEIC photo comes with the way to convert it", () => {
    expect(sniffFormat(makeIsoMediaHead("heic"))).toEqual({
      unsupported: expect.stringMatching(/convert it to JPEG/),
    });
  });
});
