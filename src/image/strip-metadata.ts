/**
 * Removes from a picture what is not needed to decode its pixels, by copying the parts that are: the
 * compressed pixels stay untouched, so nothing is lost and nothing is decoded.
 *
 * What goes: position, camera, dates, captions and comments (EXIF, XMP, IPTC, text), embedded previews
 * and further pictures, and whatever follows the end. What stays: pixels, palette, transparency and
 * colour profile. The EXIF **orientation goes too**: a picture that needs it must be turned instead.
 *
 * Both functions return a copy, or undefined where the bytes are not laid out as the format's
 * specification has it (cut, corrupt), or where something private sits in a part that must stay: such a
 * picture has to be encoded anew.
 */

/** Part of the input that is kept. */
interface Span {
  readonly start: number;
  readonly end: number;
}

/** Markers of JPEG (ITU-T T.81, table B.1). */
const startOfImage = 0xd8;
const endOfImage = 0xd9;
const startOfScan = 0xda;
const app0 = 0xe0;
const app2 = 0xe2;
const app14 = 0xee;
const app15 = 0xef;
const comment = 0xfe;

/** Frames, tables and scans: SOFn, DHT and DAC (JPG is reserved), SOS, DQT, DNL, DRI, DHP and EXP. */
const structural: ReadonlySet<number> = new Set([
  ...[0xc0, 0xc1, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7],
  ...[0xc9, 0xca, 0xcb, 0xcc, 0xcd, 0xce, 0xcf],
  ...[startOfScan, 0xdb, 0xdc, 0xdd, 0xde, 0xdf],
]);

/**
 * Strips a JPEG: keeps the tables, frames and scans, JFIF's APP0 and Adobe's APP14, which say what the
 * components mean, and the ICC profile in APP2; every other APPn and comment goes.
 *
 * @see ITU-T T.81 annex B; T.871 §10 (JFIF); T.872 §6.5.3 (Adobe); ICC.1:2022 annex B.4.
 */
export function stripJpegMetadata(bytes: Uint8Array): Uint8Array<ArrayBuffer> | undefined {
  if (bytes[0] !== 0xff || bytes[1] !== startOfImage) return undefined;
  const kept: Span[] = [{ start: 0, end: 2 }];
  let segment = segmentAt(bytes, 2);
  while (segment !== undefined && segment.role !== "unknown") {
    if (segment.role !== "metadata") kept.push(segment);
    if (segment.role === "end") return copySpans(bytes, kept);
    segment = segmentAt(bytes, segment.end);
  }
  return undefined;
}

type Role = "needed" | "metadata" | "end" | "unknown";

/** The marker segment at an offset, with the scan that follows it where there is one. */
function segmentAt(
  bytes: Uint8Array,
  offset: number,
): (Span & { readonly role: Role }) | undefined {
  let start = offset;
  // Any number of fill bytes may stand before a marker (T.81 §B.1.1.2).
  while (bytes[start] === 0xff && bytes[start + 1] === 0xff) start += 1;
  if (bytes[start] !== 0xff) return undefined;
  const marker = bytes[start + 1] ?? 0;
  if (marker === endOfImage) return { start, end: start + 2, role: "end" };
  const end = start + 2 + uint16(bytes, start + 2);
  if (end < start + 4) return undefined;
  return {
    start,
    end: marker === startOfScan ? scanEnd(bytes, end) : end,
    role: roleOf(marker, bytes.subarray(start + 4, end)),
  };
}

function roleOf(marker: number, body: Uint8Array): Role {
  if (structural.has(marker)) return "needed";
  if (marker !== comment && (marker < app0 || marker > app15)) return "unknown";
  // A JFIF header of more than 14 bytes ends with a thumbnail, which may show what was cut away.
  if (marker === app0 && startsWith(body, "JFIF\0"))
    return body.length === 14 ? "needed" : "unknown";
  const isNeeded =
    (marker === app14 && startsWith(body, "Adobe")) ||
    (marker === app2 && startsWith(body, "ICC_PROFILE\0"));
  return isNeeded ? "needed" : "metadata";
}

/** Where the entropy-coded data that begins at `start` ends: at a marker that is neither stuffing nor RSTn. */
function scanEnd(bytes: Uint8Array, start: number): number {
  let at = bytes.indexOf(0xff, start);
  while (at !== -1) {
    const next = bytes[at + 1] ?? 0;
    if (next !== 0 && next !== 0xff && (next < 0xd0 || next > 0xd7)) return at;
    at = bytes.indexOf(0xff, next === 0xff ? at + 1 : at + 2);
  }
  return bytes.length;
}

/**
 * Chunks of PNG that stay: the pixels, and what their values mean. Extra frames of an animation go; its
 * default image stays.
 */
const neededChunks: ReadonlySet<string> = new Set(
  "IHDR PLTE IDAT IEND tRNS cHRM gAMA iCCP sBIT sRGB cICP mDCV cLLI".split(" "),
);

const pngSignature = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];

/**
 * Strips a PNG: keeps the chunks that decoding needs, with their checksums as they are.
 *
 * @see W3C PNG, third edition, §5 and §11.
 */
export function stripPngMetadata(bytes: Uint8Array): Uint8Array<ArrayBuffer> | undefined {
  if (pngSignature.some((byte, index) => bytes[index] !== byte)) return undefined;
  const kept: Span[] = [{ start: 0, end: pngSignature.length }];
  let start = pngSignature.length;
  // A chunk is its length, type, body and checksum, of which all but the body have 4 bytes.
  while (start + 12 <= bytes.length) {
    const end = start + 12 + uint32(bytes, start);
    const type = String.fromCharCode(...bytes.subarray(start + 4, start + 8));
    if (end > bytes.length || !/^[A-Za-z]{4}$/.test(type)) return undefined;
    // An unknown chunk that begins with a capital is needed, but nobody knows for what (§5.4).
    if (neededChunks.has(type)) kept.push({ start, end });
    else if (/^[A-Z]/.test(type)) return undefined;
    if (type === "IEND") return copySpans(bytes, kept);
    start = end;
  }
  return undefined;
}

function copySpans(bytes: Uint8Array, spans: readonly Span[]): Uint8Array<ArrayBuffer> {
  const copy = new Uint8Array(spans.reduce((sum, { start, end }) => sum + end - start, 0));
  let length = 0;
  for (const { start, end } of spans) {
    copy.set(bytes.subarray(start, end), length);
    length += end - start;
  }
  return copy;
}

function startsWith(body: Uint8Array, text: string): boolean {
  return Array.from(text).every((character, index) => body[index] === character.charCodeAt(0));
}

/** Big-endian; bytes beyond the end read as 0. */
function uint16(bytes: Uint8Array, at: number): number {
  return ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
}

function uint32(bytes: Uint8Array, at: number): number {
  return uint16(bytes, at) * 0x1_0000 + uint16(bytes, at + 2);
}
