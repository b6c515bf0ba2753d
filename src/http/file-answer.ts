/** Files that browsers keep: with an entity tag, asked for anew each time and then mostly answered with 304. */
import { matchesEntityTag } from "../net/if-none-match.ts";
import { createFixedBody } from "./content-coding.ts";

/** A file as it is served. */
export interface ServedFile {
  /** Gives its bytes, always the same, whenever they are needed. */
  readonly read: () => Promise<Uint8Array<ArrayBuffer>>;
  /** Its media type. */
  readonly type: string;
  /** Content-Security-Policy, of a page. */
  readonly policy?: string;
}

/** Makes the answers of one file, whose tag is of its content: another build's file is another one. */
export function fileAnswer({ read, type, policy }: ServedFile) {
  const body = createFixedBody(read);
  let hash: string | undefined;
  return async (request: Request): Promise<Response> => {
    hash ??= hashOf(await read());
    const { bytes, headers } = await body(request);
    const coding = headers["content-encoding"];
    // A strong tag stands for bytes, and each coding has its own (RFC 9110, section 8.8.1).
    const etag = coding === undefined ? `"${hash}"` : `"${hash}-${coding}"`;
    const { vary } = headers;
    const own = {
      etag,
      // It may be another after an upgrade, so it is asked for every time.
      "cache-control": "no-cache",
      ...(vary !== undefined && { vary }),
      ...(policy !== undefined && { "content-security-policy": policy }),
    };
    if (matchesEntityTag(request.headers.get("if-none-match"), etag)) {
      return new Response(null, { status: 304, headers: own });
    }
    return new Response(bytes, { headers: { ...own, ...headers, "content-type": type } });
  };
}

function hashOf(bytes: Uint8Array): string {
  return new Bun.CryptoHasher("sha256").update(bytes).digest("base64url").slice(0, 22);
}
