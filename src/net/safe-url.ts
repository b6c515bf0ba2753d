import { Problem } from "../errors.ts";
import { limits } from "../limits.ts";

/**
 * Reads the URL of an image that a stranger names. The result's host is in its normal form (WHATWG
 * URL §3.5): decimal, octal, hexadecimal and short IPv4 and full-width digits have become a dotted
 * quad, other names lower-case ASCII, without a final dot. Whether the host may be reached is judged
 * later, by its addresses.
 *
 * @returns an absolute http: or https: URL without user info and fragment.
 * @throws Problem `invalid-image-url` that says what to change.
 */
export function parseImageUrl(text: string): URL {
  if (/^\s*data:/i.test(text)) {
    throw invalid("The image URL is a data: URI: send it in a base64 field instead.");
  }
  if (text.length > limits.maxUrlChars) {
    throw invalid(`The image URL is longer than ${limits.maxUrlChars} characters: shorten it.`);
  }
  const url = URL.parse(text);
  if (url === null) {
    throw invalid("The image URL is not an absolute URL such as https://host/picture.jpg.");
  }
  if (url.protocol !== "http:" && url.protocol !== "https:") {
    throw invalid("The image URL must start with http:// or https://.");
  }
  if (url.username !== "" || url.password !== "") {
    throw invalid("The image URL must not contain a user name or password: remove them.");
  }
  // A final dot names the same host (RFC 1034 §3.1), but neither certificates nor FETCH_ALLOW have it.
  if (url.hostname.endsWith(".")) url.hostname = url.hostname.slice(0, -1);
  // An empty label is the one malformed name that the URL parser lets through.
  if (url.hostname.split(".").includes("")) {
    throw invalid("The image URL's host name has an empty part: check its dots.");
  }
  // Bun's fetch asks for such a path without its first slashes: for another one.
  if (url.pathname.startsWith("//")) {
    throw invalid("The image URL's path begins with two slashes: remove one, or upload the bytes.");
  }
  url.hash = "";
  return url;
}

function invalid(detail: string): Problem {
  return new Problem("invalid-image-url", detail);
}
