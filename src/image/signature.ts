/** The image formats that are decoded, by the extension under which their bytes are kept. */
export type ImageFormat = "jpg" | "png" | "webp" | "gif" | "avif" | "tif";

/** Bytes of an image's start that {@link sniffFormat} wants to see; fewer when the image has fewer. */
export const signatureBytes = 512;

/** What an image is by its own bytes: a decoded format, or a noun phrase that names something else. */
type Sniffed = ImageFormat | { readonly unsupported: string };

/** A pattern of bytes, one character each; `?` stands for any byte. */
type Signature = readonly [pattern: string, sniffed: Sniffed];

const signatures: readonly Signature[] = [
  ["\xff\xd8\xff", "jpg"],
  ["\x89PNG\r\n\x1a\n", "png"],
  ["RIFF????WEBP", "webp"],
  ["GIF87a", "gif"],
  ["GIF89a", "gif"],
  ["II*\0", "tif"],
  ["MM\0*", "tif"],
  ["II+\0", "tif"],
  ["MM\0+", "tif"],
  ["\xff\x0a", { unsupported: "a JPEG XL picture" }],
  ["\0\0\0\x0cJXL \r\n\x87\n", { unsupported: "a JPEG XL picture" }],
  ["\0\0\0\x0cjP  \r\n\x87\n", { unsupported: "a JPEG 2000 picture" }],
  ["\xff\x4f\xff\x51", { unsupported: "a JPEG 2000 picture" }],
  ["\0\0\x01\0", { unsupported: "a Windows icon (ICO)" }],
  ["\0\0\x02\0", { unsupported: "a Windows cursor (CUR)" }],
  ["BM", { unsupported: "a BMP picture" }],
  ["8BPS", { unsupported: "a Photoshop document" }],
  ["%PDF-", { unsupported: "a PDF document" }],
  ["\x1a\x45\xdf\xa3", { unsupported: "a WebM or Matroska video" }],
  ["RIFF????AVI ", { unsupported: "an AVI video" }],
  ["PK\x03\x04", { unsupported: "a ZIP archive" }],
  ["\x1f\x8b", { unsupported: "gzip data" }],
];

/** Patterns of a text's start, after white space, in lower case. */
const textSignatures: readonly (readonly [pattern: RegExp, unsupported: string])[] = [
  [/^<(!doctype html|html|head|body|script|title)\b/, "an HTML page"],
  [/^<.*?<svg\b|^<svg\b|^<!doctype svg\b/s, "an SVG drawing (export it as PNG first)"],
  [/^</, "an XML document"],
  [/^[{[]/, "JSON text"],
  [/^data:/, "a data: URI as text, not the bytes that it encodes"],
  [/^https?:\/\//, "a URL as text, not the bytes behind it"],
  [/^(\/9j\/|ivborw0kggo|r0lgod|uklgr)/, "base64 text, not the bytes that it encodes"],
];

/**
 * Recognises an image by its first bytes, never by a name or a declared type.
 *
 * @param head the image's first {@link signatureBytes} bytes, or all when it has fewer; more do no harm.
 * @returns a format that is decoded, or `unsupported`: what was found instead, in words that
 *   complete “This is …”.
 * @see WHATWG MIME Sniffing, section 6.1, for JPEG, PNG, GIF and WebP; TIFF 6.0, section 2, and
 *   BigTIFF; ISO 14496-12, section 4.3, and AV1 Image File Format, section 6, for AVIF.
 */
export function sniffFormat(head: Uint8Array): Sniffed {
  if (head.length === 0) return { unsupported: "an empty file" };
  const start = latin1(head.subarray(0, signatureBytes));
  const known = signatures.find(([pattern]) => matches(start, pattern));
  if (known !== undefined) return known[1];
  if (start.startsWith("ftyp", 4)) return sniffIsoMedia(head, start);
  return { unsupported: describeText(start) ?? describeUnknown(head) };
}

/** Tells AVIF, HEIC and video apart by the brands of a file type box. */
function sniffIsoMedia(head: Uint8Array, start: string): Sniffed {
  const boxSize = new DataView(head.buffer, head.byteOffset, head.byteLength).getUint32(0);
  const major = start.slice(8, 12);
  const compatible = start.slice(16, boxSize).match(/.{4}/gs) ?? [];
  const isHeif = /^(mif1|msf1|mif2|miaf)$/.test(major);
  const brands = isHeif ? [major, ...compatible] : [major];
  if (brands.some((brand) => /^avi[fs]$/.test(brand))) return "avif";
  if (brands.some((brand) => /^he(ic|ix|vc|vx|im|is|vm|vs)$/.test(brand))) {
    return {
      unsupported:
        "a HEIC photo (convert it to JPEG first, for example with heif-convert photo.heic photo.jpg)",
    };
  }
  if (isHeif) return { unsupported: "a HEIF picture that is not AVIF (convert it to JPEG first)" };
  if (major === "crx ") return { unsupported: "a Canon raw photo (export it as JPEG first)" };
  return { unsupported: "an MP4 video or similar (send one of its frames)" };
}

/** Names a text; undefined for what is not one. */
function describeText(start: string): string | undefined {
  // A control character other than tab, line breaks and form feed means binary data.
  if (/[^\t\n\f\r\x20-\x7e\x80-\xff]/.test(start)) return undefined;
  const text = start
    .replace(/^\xef\xbb\xbf/, "")
    .trimStart()
    .toLowerCase();
  const known = textSignatures.find(([pattern]) => pattern.test(text));
  if (known !== undefined) return known[1];
  return /^[\t\n\f\r\x20-\x7e]*$/.test(start) ? "plain text" : undefined;
}

function describeUnknown(head: Uint8Array): string {
  const bytes = Array.from(head.subarray(0, 8), (byte) => byte.toString(16).padStart(2, "0"));
  return `data of an unknown format (its first bytes are ${bytes.join(" ")})`;
}

function matches(start: string, pattern: string): boolean {
  if (start.length < pattern.length) return false;
  for (let i = 0; i < pattern.length; i++) {
    if (pattern[i] !== "?" && pattern[i] !== start[i]) return false;
  }
  return true;
}

function latin1(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes);
}
