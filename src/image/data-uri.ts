import { Problem } from "../errors.ts";

/**
 * Decodes the base64 of an image: bare base64 or base64url (RFC 4648 §4 and §5), or a `data:` URI
 * (RFC 2397) of any media type. ASCII white space anywhere and missing padding are fine, anything else
 * is not.
 *
 * @returns the bytes in a buffer of their own, at least one.
 * @throws Problem `invalid-base64` that names the first fault; `body-too-large` over `maxBytes`,
 *   before anything is decoded.
 */
export function decodeBase64Image(text: string, maxBytes: number): Uint8Array<ArrayBuffer> {
  const base64 = /^\s*data:/i.test(text) ? payloadOf(text) : text;
  if (isLargerThan(base64, maxBytes)) {
    const detail = `The image is larger than the limit of ${maxBytes} bytes: send a smaller one.`;
    throw new Problem("body-too-large", detail);
  }
  const isUrlSafe = base64.includes("-") || base64.includes("_");
  const alphabet = isUrlSafe ? "base64url" : "base64";
  let bytes: Uint8Array<ArrayBuffer>;
  try {
    bytes = Uint8Array.fromBase64(base64, { alphabet, lastChunkHandling: "loose" });
  } catch (cause) {
    throw new Problem("invalid-base64", faultOf(base64), { cause });
  }
  if (bytes.length === 0) throw new Problem("invalid-base64", "The base64 of the image is empty.");
  return bytes;
}

/** What follows the comma of a `data:` URI. */
function payloadOf(uri: string): string {
  const comma = uri.indexOf(",");
  if (comma === -1) {
    const detail = "The data: URI has no comma: send data:image/jpeg;base64, and then the base64.";
    throw new Problem("invalid-base64", detail);
  }
  // Spaces around the word are what browsers allow too (WHATWG Fetch §6).
  if (!/; *base64\s*$/i.test(uri.slice(0, comma))) {
    const detail =
      "The data: URI is not base64: put ;base64 before its comma and encode the bytes.";
    throw new Problem("invalid-base64", detail);
  }
  const payload = uri.slice(comma + 1);
  return payload.includes("%") ? percentDecoded(payload) : payload;
}

/** Inside a URI `+`, `/`, `=` and line breaks may be written as `%2B` and so on. */
function percentDecoded(payload: string): string {
  try {
    return decodeURIComponent(payload);
  } catch (cause) {
    const detail = "The data: URI contains a % that is no percent-encoding: remove it.";
    throw new Problem("invalid-base64", detail, { cause });
  }
}

/** Whether the text stands for more bytes than allowed; counts its characters only when in doubt. */
function isLargerThan(base64: string, maxBytes: number): boolean {
  // Four characters are three bytes, and up to two more are padding.
  const maxChars = Math.ceil(maxBytes / 3) * 4;
  if (base64.length <= maxChars - 4) return false;
  let digits = 0;
  for (let index = 0; index < base64.length; index += 1) {
    const code = base64.charCodeAt(index);
    // White space and padding stand for nothing.
    if (code > 0x20 && code !== 0x3d) digits += 1;
  }
  return Math.floor((digits * 3) / 4) > maxBytes;
}

/** One sentence about the first fault of a text that does not decode. */
function faultOf(base64: string): string {
  const foreign = /[^A-Za-z0-9+/=_\t\n\f\r -]/u.exec(base64);
  if (foreign !== null) {
    return `Character ${foreign.index + 1} of the image's base64 is ${shown(foreign[0])}, which is not base64: remove it.`;
  }
  if (/[-_]/.test(base64) && /[+/]/.test(base64)) {
    return "The image's base64 mixes base64 (+ and /) with base64url (- and _): use one of them.";
  }
  if (/=\s*[^=\s]/.test(base64)) {
    return `Character ${base64.indexOf("=") + 1} of the image's base64 is "=", which may only stand at its end: remove it.`;
  }
  return "The image's base64 ends in the middle of a byte or with wrong padding: it seems to be cut, send it whole.";
}

/** A character that is safe to print: itself where it is visible ASCII, else its code point. */
function shown(character: string): string {
  if (/^[!-~]$/.test(character)) return JSON.stringify(character);
  return `U+${(character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0")}`;
}
