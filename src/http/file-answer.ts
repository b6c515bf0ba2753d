/** Files that browsers keep: with an entity tag, asked for anew each time and then mostly answered with 304. */
import { matchesEntityTag } from "../net/if-none-match.ts";

/** A file as it is served. */
export interface ServedFile {
  readonly body: Uint8Array<ArrayBuffer>;
  /** The same, compressed, for clients that take it. */
  readonly gzip?: Uint8Array<ArrayBuffer>;
  /** Its media type. */
  readonly type: string;
  /** Content-Security-Policy, of a page. */
  readonly policy?: string;
}

/** Makes the answers of one file, whose tag is of its content: another build's file is another one. */
export function fileAnswer({ body, gzip, type, policy }: ServedFile) {
  const hash = new Bun.CryptoHasher("sha256").update(body).digest("base64url").slice(0, 22);
  return ({ headers }: Request): Response => {
    const isPacked = gzip !== undefined && takesGzip(headers.get("accept-encoding"));
    const etag = isPacked ? `"${hash}-gzip"` : `"${hash}"`;
    const own = {
      etag,
      // It may be another after an upgrade, so it is asked for every time.
      "cache-control": "no-cache",
      ...(gzip && { vary: "Accept-Encoding" }),
      ...(policy !== undefined && { "content-security-policy": policy }),
    };
    if (matchesEntityTag(headers.get("if-none-match"), etag)) {
      return new Response(null, { status: 304, headers: own });
    }
    const encoding = isPacked ? { "content-encoding": "gzip" } : {};
    const all = { ...own, ...encoding, "content-type": type };
    return new Response(isPacked ? gzip : body, { headers: all });
  };
}

/** Whether gzip is named, and not refused by `q=0` (RFC 9110, section 12.5.3). */
function takesGzip(header: string | null): boolean {
  return /\bgzip\b(?!\s*;\s*q=0(?:\.0*)?\s*(?:,|$))/i.test(header ?? "");
}
