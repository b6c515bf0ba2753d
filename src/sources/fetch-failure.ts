import { Problem } from "../errors.ts";

/**
 * What the codes of Bun's `fetch` and of `node:dns` mean to a caller. The first pattern that fits
 * counts; the code itself is only logged.
 */
const meanings: readonly (readonly [code: RegExp, meaning: string])[] = [
  [
    /^DNS_(ECONNREFUSED|EREFUSED|ESERVFAIL|ETIMEOUT)$/,
    "name could not be looked up just now: try again",
  ],
  [
    /^(ENOTFOUND|EAI_|ENODATA|ESERVFAIL|EBADNAME|ENONAME|DNS_)/,
    "name does not resolve: check the URL's host name",
  ],
  [/^ECONNREFUSED$/, "host refused the connection: check the URL's host and port"],
  [/^(EHOSTUNREACH|ENETUNREACH|ETIMEDOUT)$/, "host cannot be reached: check the URL's host"],
  [/^ECONNRESET$/, "host closed the connection before the image was complete: try again"],
  [/^EPROTO$/, "host does not speak TLS there: try http:// instead of https://"],
  [
    /CERT|TLS|SSL|ISSUER|SIGNATURE|HOSTNAME/,
    "host has no valid TLS certificate for its name: check the URL in a browser",
  ],
  [/Zlib|Brotli|Zstd|Decompress/i, "host sent a body that does not decompress: try again"],
];

const otherwise =
  "host did not answer with valid HTTP: check the URL's scheme, host and port in a browser";

/**
 * Puts a failed look-up, connection or transfer into words. Only the code is kept as the cause: the
 * messages contain the URL, whose query may be a secret.
 *
 * @returns the error itself where it has no code: a mistake of ours, not the outside's.
 */
export function fetchFailure(error: unknown): unknown {
  const code = codeOf(error);
  if (code === "") return error;
  const meaning = meanings.find(([pattern]) => pattern.test(code))?.[1] ?? otherwise;
  return new Problem("origin-error", `The image's ${meaning}.`, { cause: code });
}

/** Whether no connection came about, so that the host's next address may be tried. */
export function isConnectFailure(error: unknown): boolean {
  return /^(ECONNREFUSED|EHOSTUNREACH|ENETUNREACH|ETIMEDOUT)$/.test(codeOf(error));
}

function codeOf(error: unknown): string {
  const hasCode = error instanceof Error && "code" in error && typeof error.code === "string";
  return hasCode ? String(error.code) : "";
}
