/**
 * Makes the pictures that tests need. Every maker is seeded: the same options give the same bytes
 * with the same version of sharp. Bytes come in an ArrayBuffer of their own, so they may be
 * transferred to a worker.
 */
import { crc32, deflateSync } from "node:zlib";
import sharp, { type Sharp } from "sharp";

/** Bytes that may be transferred to another thread. */
export type Bytes = Uint8Array<ArrayBuffer>;

/** What a picture shows. */
export interface PictureOptions {
  /** Pixels; 64 unless told. */
  readonly width?: number;
  /** Pixels; 48 unless told. */
  readonly height?: number;
  /** Another seed is another picture; 1 unless told. */
  readonly seed?: number;
  /** `gradient` (unless told) compresses well, `noise` does not, `text` has hard edges. */
  readonly kind?: "gradient" | "noise" | "text";
}

/** What is written around a JPEG's pixels. */
export interface JpegOptions extends PictureOptions {
  /** 1 to 100; 90 unless told. */
  readonly quality?: number;
  readonly progressive?: boolean;
  /** EXIF orientation: 1 to 8, or an invalid one such as 0 and 9. */
  readonly orientation?: number;
  /** Adds a GPS position to the EXIF block. */
  readonly gps?: boolean;
  /** Text of an XMP packet. */
  readonly xmp?: string;
  /** Text of a JPEG comment. */
  readonly comment?: string;
}

/** Returns a random generator of numbers in [0, 1): mulberry32. */
function seededRandom(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Makes raw pixels: uint8, [height, width, channels], interleaved. */
export function makePixels(options: PictureOptions = {}, channels: 1 | 2 | 3 | 4 = 3): Bytes {
  const { width = 64, height = 48, seed = 1, kind = "gradient" } = options;
  const pixels = new Uint8Array(width * height * channels);
  const random = seededRandom(seed);
  const phases = Array.from({ length: channels }, () => random() * 256);
  const glyphs = new Uint32Array(64).map(() => random() * 2 ** 32);
  for (let index = 0; index < pixels.length; index++) {
    const channel = index % channels;
    const position = (index - channel) / channels;
    const x = position % width;
    const y = (position - x) / width;
    if (kind === "noise") pixels[index] = random() * 256;
    else if (kind === "text") pixels[index] = inkAt(glyphs, x, y) ? 16 : 240 - channel * 8;
    else pixels[index] = (phases[channel] ?? 0) + (x * 200) / width + (y * (90 + channel)) / height;
  }
  return pixels;
}

/** Whether a page of random glyphs, 5 by 6 dots each of 2 pixels, has ink at a pixel. */
function inkAt(glyphs: Uint32Array, x: number, y: number): boolean {
  const column = (x >> 1) % 6;
  const row = (y >> 1) % 8;
  if (column === 5 || row >= 6) return false;
  const glyph = glyphs[(Math.floor(x / 12) * 7 + Math.floor(y / 16) * 13) % glyphs.length] ?? 0;
  return ((glyph >>> (row * 5 + column)) & 1) === 1;
}

async function encode(picture: Sharp): Promise<Bytes> {
  return new Uint8Array(await picture.toBuffer());
}

/** Hands raw pixels to sharp. */
function paint(options: PictureOptions, channels: 1 | 2 | 3 | 4 = 3): Sharp {
  const { width = 64, height = 48 } = options;
  return sharp(makePixels(options, channels), { raw: { width, height, channels } });
}

/** Makes random samples: uint16, [height, width, channels], interleaved. */
export function make16BitPixels(
  options: PictureOptions,
  channels: 1 | 3 | 4,
): Uint16Array<ArrayBuffer> {
  const { width = 64, height = 48, seed = 1 } = options;
  const random = seededRandom(seed);
  return new Uint16Array(width * height * channels).map(() => random() * 65_536);
}

function paintIn16Bits(options: PictureOptions, channels: 1 | 3): Sharp {
  const { width = 64, height = 48 } = options;
  return sharp(make16BitPixels(options, channels), { raw: { width, height, channels } });
}

/** Makes a JPEG, with metadata written by hand so that its bytes are known. */
export async function makeJpeg(options: JpegOptions = {}): Promise<Bytes> {
  const { quality = 90, progressive = false } = options;
  const bare = await encode(paint(options).jpeg({ quality, progressive }));
  const segments: Uint8Array[] = [];
  if (options.orientation !== undefined || options.gps) {
    segments.push(jpegSegment(0xe1, concat(ascii("Exif\0\0"), exifBlock(options))));
  }
  if (options.xmp !== undefined) {
    segments.push(
      jpegSegment(0xe1, concat(ascii("http://ns.adobe.com/xap/1.0/\0"), ascii(options.xmp))),
    );
  }
  if (options.comment !== undefined) segments.push(jpegSegment(0xfe, ascii(options.comment)));
  return concat(bare.subarray(0, 2), ...segments, bare.subarray(2));
}

/** Makes a JPEG of one gray channel. */
export function makeGrayJpeg(options: PictureOptions = {}): Promise<Bytes> {
  return encode(paint(options, 1).toColourspace("b-w").jpeg());
}

/** Makes an Adobe CMYK JPEG, whose samples are inverted as Photoshop does it. */
export function makeCmykJpeg(options: PictureOptions = {}): Promise<Bytes> {
  return encode(paint(options).toColourspace("cmyk").jpeg({ quality: 95 }));
}

/** Makes an RGB PNG. */
export function makePng(
  options: PictureOptions & { readonly orientation?: number; readonly progressive?: boolean } = {},
): Promise<Bytes> {
  const { orientation, progressive = false } = options;
  const picture = paint(options).png({ progressive });
  return encode(orientation === undefined ? picture : picture.withMetadata({ orientation }));
}

/** Makes a PNG with a random alpha channel. */
export function makeRgbaPng(options: PictureOptions = {}): Promise<Bytes> {
  return encode(paint(options, 4).png());
}

/** Makes a PNG of one gray channel. */
export function makeGrayPng(options: PictureOptions = {}): Promise<Bytes> {
  return encode(paint(options, 1).toColourspace("b-w").png());
}

/** Makes a PNG of a gray and an alpha channel. */
export function makeGrayAlphaPng(options: PictureOptions = {}): Promise<Bytes> {
  return encode(paint(options, 2).toColourspace("b-w").png());
}

/** Makes a PNG with a palette of at most 16 colours. */
export function makePalettePng(options: PictureOptions = {}): Promise<Bytes> {
  return encode(paint(options).png({ palette: true, colours: 16, dither: 0 }));
}

/** Four colours, and how opaque each is, of {@link makeTransparentPalettePng}. */
const palette = [200, 10, 20, 30, 40, 250, 0, 255, 0, 90, 91, 92];
const paletteAlpha = [0, 128, 255, 0];

/** Makes a PNG with a palette that is transparent in parts; `rgb` are the colours, as if it were not. */
export function makeTransparentPalettePng(size: {
  readonly width: number;
  readonly height: number;
}): { readonly bytes: Bytes; readonly rgb: Bytes } {
  const { width, height } = size;
  const rows = new Uint8Array((width + 1) * height);
  const rgb = new Uint8Array(width * height * 3);
  for (let pixel = 0; pixel < width * height; pixel++) {
    const row = Math.floor(pixel / width);
    const colour = (pixel + row) % 4;
    // Every row begins with its filter, none.
    rows[pixel + row + 1] = colour;
    rgb.set(palette.slice(colour * 3, colour * 3 + 3), pixel * 3);
  }
  const bytes = concat(
    pngSignature,
    pngHeader(size, indexedColour),
    pngChunk("PLTE", Uint8Array.from(palette)),
    pngChunk("tRNS", Uint8Array.from(paletteAlpha)),
    pngChunk("IDAT", deflateSync(rows)),
    pngChunk("IEND", new Uint8Array()),
  );
  return { bytes, rgb };
}

/** Makes an animated PNG of two frames; the second is the still picture of the next seed. */
export async function makeApng(options: PictureOptions = {}): Promise<Bytes> {
  const { width = 64, height = 48, seed = 1 } = options;
  const [first, second] = [
    await makePng(options),
    await makePng({ ...options, seed: seed + 1 }),
  ].map(pngData);
  if (first === undefined || second === undefined) throw new Error("two frames were to be made");
  const frame = (sequence: number) =>
    concat(bigEndian(sequence, width, height, 0, 0), Uint8Array.of(0, 1, 0, 10, 0, 0));
  return concat(
    pngSignature,
    pngHeader({ width, height }, trueColour),
    pngChunk("acTL", bigEndian(2, 0)),
    pngChunk("fcTL", frame(0)),
    pngChunk("IDAT", first),
    pngChunk("fcTL", frame(1)),
    pngChunk("fdAT", concat(bigEndian(2), second)),
    pngChunk("IEND", new Uint8Array()),
  );
}

/** Display P3's profile, as libvips carries it. */
async function displayP3(): Promise<Uint8Array> {
  const { icc } = await sharp(await paint({}).withIccProfile("p3").png().toBuffer()).metadata();
  if (icc === undefined) throw new Error("libvips attached no profile");
  return icc;
}

/** Puts a colour profile into a PNG, whose samples stay as they are. */
export async function withPngProfile(png: Uint8Array): Promise<Bytes> {
  const body = concat(ascii("Display P3\0\0"), deflateSync(await displayP3()));
  const headerEnd = pngSignature.length + 12 + 13;
  return concat(png.subarray(0, headerEnd), pngChunk("iCCP", body), png.subarray(headerEnd));
}

/** Puts a colour profile into a JPEG, whose samples stay as they are. */
export async function withJpegProfile(jpeg: Uint8Array): Promise<Bytes> {
  const body = concat(ascii("ICC_PROFILE\0"), Uint8Array.of(1, 1), await displayP3());
  return concat(jpeg.subarray(0, 2), jpegSegment(0xe2, body), jpeg.subarray(2));
}

/** Makes an RGB PNG of 16 random bits a sample. */
export function make16BitPng(options: PictureOptions = {}): Promise<Bytes> {
  return encode(paintIn16Bits(options, 3).toColourspace("rgb16").png());
}

/** Makes a gray PNG of 16 random bits a sample. */
export function make16BitGrayPng(options: PictureOptions = {}): Promise<Bytes> {
  return encode(paintIn16Bits(options, 1).toColourspace("grey16").png());
}

/** Makes a WebP. */
export function makeWebp(
  options: PictureOptions & { readonly lossless?: boolean; readonly orientation?: number } = {},
): Promise<Bytes> {
  const { orientation, lossless = false } = options;
  const picture = paint(options).webp({ lossless, effort: 0 });
  return encode(orientation === undefined ? picture : picture.withMetadata({ orientation }));
}

/** Makes a GIF; frame `n` of an animation is the still picture of seed `seed + n`. */
export function makeGif(
  options: PictureOptions & { readonly frames?: number } = {},
): Promise<Bytes> {
  return encode(paintFrames(options).gif({ effort: 1, dither: 0 }));
}

/** Makes an animated WebP, lossless; frame `n` is the still picture of seed `seed + n`. */
export function makeAnimatedWebp(
  options: PictureOptions & { readonly frames?: number } = {},
): Promise<Bytes> {
  return encode(paintFrames({ frames: 3, ...options }).webp({ lossless: true, effort: 0 }));
}

function paintFrames(options: PictureOptions & { readonly frames?: number }): Sharp {
  const { width = 64, height = 48, seed = 1, frames = 1 } = options;
  const stills = Array.from({ length: frames }, (_, frame) =>
    makePixels({ ...options, seed: seed + frame }),
  );
  const raw = { width, height: height * frames, channels: 3, pageHeight: height } as const;
  return sharp(concat(...stills), { raw });
}

/** Makes an AVIF. */
export function makeAvif(options: PictureOptions = {}): Promise<Bytes> {
  return encode(paint(options).avif({ effort: 0, quality: 60 }));
}

/** Makes a WebP with a random alpha channel, lossless, which keeps the colours of what is transparent. */
export function makeRgbaWebp(options: PictureOptions = {}): Promise<Bytes> {
  return encode(paint(options, 4).webp({ lossless: true, exact: true, effort: 0 }));
}

/** Makes an RGB TIFF. */
export function makeTiff(
  options: PictureOptions & {
    readonly compression?: "none" | "lzw" | "jpeg" | "deflate";
    readonly orientation?: number;
    readonly big?: boolean;
  } = {},
): Promise<Bytes> {
  const { compression = "lzw", orientation, big = false } = options;
  const picture = paint(options).tiff({ compression, bigtiff: big });
  return encode(orientation === undefined ? picture : picture.withMetadata({ orientation }));
}

/** Makes an RGB TIFF of 16 random bits a sample. */
export function make16BitTiff(options: PictureOptions = {}): Promise<Bytes> {
  return encode(paintIn16Bits(options, 3).toColourspace("rgb16").tiff({ compression: "lzw" }));
}

/**
 * Makes an uncompressed TIFF of given ink, written by hand.
 *
 * @param ink uint8 or uint16, [height, width, 4]: cyan, magenta, yellow, black.
 */
export function makeInkTiff(
  ink: Uint8Array<ArrayBuffer> | Uint16Array<ArrayBuffer>,
  { width, height }: { readonly width: number; readonly height: number },
): Bytes {
  const entryCount = 9;
  const bitsAt = 8 + 2 + entryCount * 12 + 4;
  const directory = tiffDirectory([
    [256, 3, 1, width],
    [257, 3, 1, height],
    [258, 3, 4, bitsAt],
    [259, 3, 1, 1],
    [262, 3, 1, 5],
    [273, 4, 1, bitsAt + 8],
    [277, 3, 1, 4],
    [278, 3, 1, height],
    [279, 4, 1, ink.byteLength],
  ]);
  const bits = new Uint16Array(4).fill(ink.BYTES_PER_ELEMENT * 8);
  return concat(
    tiffHead,
    directory,
    new Uint8Array(bits.buffer),
    new Uint8Array(ink.buffer, ink.byteOffset, ink.byteLength),
  );
}

/** Makes a 24-bit BMP, which is a real picture but not one that is decoded. */
function makeBmp(options: PictureOptions = {}): Bytes {
  const { width = 64, height = 48 } = options;
  const pixels = makePixels(options);
  const stride = Math.ceil((width * 3) / 4) * 4;
  const bytes = new Uint8Array(54 + stride * height);
  const view = new DataView(bytes.buffer);
  bytes.set(ascii("BM"));
  view.setUint32(2, bytes.length, true);
  view.setUint32(10, 54, true);
  view.setUint32(14, 40, true);
  view.setInt32(18, width, true);
  view.setInt32(22, -height, true);
  view.setUint16(26, 1, true);
  view.setUint16(28, 24, true);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width * 3; x++) {
      const blueFirst = x - (x % 3) + 2 - (x % 3);
      bytes[54 + y * stride + x] = pixels[y * width * 3 + blueFirst] ?? 0;
    }
  }
  return bytes;
}

/** Makes a PNG of a few bytes whose header claims any size: a decompression bomb. */
export function makeBombPng(options: { readonly width: number; readonly height: number }): Bytes {
  return concat(
    pngSignature,
    pngHeader(options, trueColour),
    pngChunk("IDAT", deflateSync(new Uint8Array(65_536))),
    pngChunk("IEND", new Uint8Array()),
  );
}

/** Makes the first bytes of an ISO media file: `ftyp` with a major brand and compatible ones. */
export function makeIsoMediaHead(major: string, compatible: readonly string[] = []): Bytes {
  const names = ascii(compatible.join(""));
  const head = concat(ascii("\0\0\0\0ftyp"), ascii(major), ascii("\0\0\0\0"), names, ascii("\0\0"));
  head[3] = 16 + names.length;
  return head;
}

/** First bytes of things that are not decoded, by the word that their refusal must name. */
export const foreignHeads: Readonly<Record<string, Bytes>> = {
  HEIC: makeIsoMediaHead("heic", ["mif1", "heic"]),
  BMP: makeBmp(),
  SVG: ascii(
    '<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
  ),
  PDF: ascii("%PDF-1.7\n%\xe2\xe3\xcf\xd3\n"),
  "JPEG XL": Uint8Array.of(0xff, 0x0a, 0xfa, 0x1f, 0x01, 0x90, 0x80, 0x00, 0x00, 0x00, 0x00, 0x00),
  "JPEG 2000": concat(
    Uint8Array.of(0, 0, 0, 0x0c, 0x6a, 0x50, 0x20, 0x20, 0x0d, 0x0a, 0x87, 0x0a),
    makeIsoMediaHead("jp2 ", ["jp2 "]),
  ),
  icon: Uint8Array.of(0, 0, 1, 0, 1, 0, 16, 16, 0, 0, 1, 0, 32, 0, 0x68, 4, 0, 0, 22, 0, 0, 0),
  HTML: ascii("<!DOCTYPE html>\n<html><head><title>Sign in</title></head></html>"),
  video: makeIsoMediaHead("isom", ["isom", "iso2", "avc1", "mp41"]),
  JSON: ascii('{"error": "not found"}'),
};

/** Cuts bytes off at the end. */
export function truncate(bytes: Uint8Array, percentKept: number): Bytes {
  return new Uint8Array(bytes.subarray(0, Math.floor((bytes.length * percentKept) / 100)));
}

/** Bytes of a text, one for each character up to U+00FF. */
export function ascii(text: string): Bytes {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

/** Joins byte arrays into a new one. */
export function concat(...parts: readonly Uint8Array[]): Bytes {
  const joined = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    joined.set(part, offset);
    offset += part.length;
  }
  return joined;
}

/** A marker segment: the marker's second byte, a length and a body. */
export function jpegSegment(marker: number, body: Uint8Array): Bytes {
  const length = body.length + 2;
  return concat(Uint8Array.of(0xff, marker, length >> 8, length & 255), body);
}

/** The first bytes of every PNG. */
export const pngSignature = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a);
/** PNG's colour types (W3C PNG, third edition, table 1). */
const trueColour = 2;
const indexedColour = 3;

/** An `IHDR` of 8 bits a sample, not interlaced. */
function pngHeader(
  { width, height }: { readonly width: number; readonly height: number },
  colourType: number,
): Bytes {
  return pngChunk("IHDR", concat(bigEndian(width, height), Uint8Array.of(8, colourType, 0, 0, 0)));
}

/** The bodies of a PNG's `IDAT` chunks, joined. */
function pngData(png: Uint8Array): Bytes {
  const view = new DataView(png.buffer, png.byteOffset, png.byteLength);
  const bodies: Uint8Array[] = [];
  for (let at = pngSignature.length; at < png.length; at += 12 + view.getUint32(at)) {
    const isData = String.fromCharCode(...png.subarray(at + 4, at + 8)) === "IDAT";
    if (isData) bodies.push(png.subarray(at + 8, at + 8 + view.getUint32(at)));
  }
  return concat(...bodies);
}

/** Numbers as uint32, the highest byte first. */
export function bigEndian(...numbers: readonly number[]): Bytes {
  const bytes = new Uint8Array(numbers.length * 4);
  const view = new DataView(bytes.buffer);
  for (const [index, number] of numbers.entries()) view.setUint32(index * 4, number);
  return bytes;
}

/** A chunk with its length and its checksum. */
export function pngChunk(type: string, body: Uint8Array): Bytes {
  const checked = concat(ascii(type), body);
  const chunk = concat(new Uint8Array(4), checked, new Uint8Array(4));
  const view = new DataView(chunk.buffer);
  view.setUint32(0, body.length);
  view.setUint32(chunk.length - 4, crc32(checked));
  return chunk;
}

/**
 * An EXIF block, little-endian: an orientation, and the position of the Eiffel tower in a GPS
 * directory. Its `GPSMapDatum` reads `WGS-84`, which a test can look for.
 */
function exifBlock(options: { readonly orientation?: number; readonly gps?: boolean }): Bytes {
  const entries: TiffEntry[] = [];
  if (options.orientation !== undefined) entries.push([0x0112, 3, 1, options.orientation]);
  const gpsAt = 8 + 2 + (entries.length + 1) * 12 + 4;
  if (options.gps) entries.push([0x8825, 4, 1, gpsAt]);
  const main = tiffDirectory(entries);
  if (!options.gps) return concat(tiffHead, main);
  const valuesAt = gpsAt + 2 + 5 * 12 + 4;
  const gps = tiffDirectory([
    [1, 2, 2, 0x4e],
    [2, 5, 3, valuesAt],
    [3, 2, 2, 0x45],
    [4, 5, 3, valuesAt + 24],
    [0x12, 2, 7, valuesAt + 48],
  ]);
  const degrees = Uint32Array.of(48, 1, 51, 1, 2996, 100, 2, 1, 17, 1, 4020, 100);
  return concat(tiffHead, main, gps, new Uint8Array(degrees.buffer), ascii("WGS-84\0"));
}

/** One entry of a TIFF's directory. */
export type TiffEntry = readonly [tag: number, type: number, count: number, value: number];

/** Start of a little-endian TIFF whose first directory follows at once. */
export const tiffHead = Uint8Array.of(0x49, 0x49, 0x2a, 0, 8, 0, 0, 0);

/** A directory that none follows, little-endian. */
export function tiffDirectory(entries: readonly TiffEntry[]): Bytes {
  const directory = new Uint8Array(2 + entries.length * 12 + 4);
  const view = new DataView(directory.buffer);
  view.setUint16(0, entries.length, true);
  for (const [index, [tag, type, count, value]] of entries.entries()) {
    const at = 2 + index * 12;
    view.setUint16(at, tag, true);
    view.setUint16(at + 2, type, true);
    view.setUint32(at + 4, count, true);
    view.setUint32(at + 8, value, true);
  }
  return directory;
}
