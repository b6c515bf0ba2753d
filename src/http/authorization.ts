/** Who may call: where API keys are configured, whoever sends one of them. */
import { Problem } from "../errors.ts";
import { type ApiKeyNames, hashApiKey } from "../store/api-keys.ts";

/** The paths that need no key, whatever the method; `/*` stands for everything below. */
const openPaths: readonly string[] = [
  "/",
  "/page/*",
  "/livez",
  "/readyz",
  "/problems",
  "/problems/*",
  "/docs",
  "/docs/*",
  "/openapi.json",
];

/** Whether a path needs no key; a slash at its end makes no difference, as for the routes. */
export function isOpenPath(path: string): boolean {
  const plain = path.replace(/([^/])\/$/, "$1");
  return openPaths.some((open) =>
    open.endsWith("/*") ? plain.startsWith(open.slice(0, -1)) : plain === open,
  );
}

/**
 * Lets a request in, or not, before its body is read. Preflights are let in: browsers send them without a key.
 *
 * @param apiKeys the keys of this moment; undefined where none are configured.
 * @returns the name of the request's key, where it needs one.
 * @throws Problem `unauthorized`.
 */
export function requireApiKey(
  request: Request,
  apiKeys: ApiKeyNames | undefined,
): string | undefined {
  if (apiKeys === undefined || request.method === "OPTIONS" || isOpenPath(routedPath(request))) {
    return undefined;
  }
  const key = bearerKey(request);
  if (key === undefined) {
    const detail =
      "The request has no API key: send yours in the header Authorization: Bearer KEY.";
    throw new Problem("unauthorized", detail);
  }
  // How long the look-up of a digest takes says nothing of the key: a guess's digest is not the guesser's choice.
  const name = apiKeys.get(hashApiKey(key));
  if (name === undefined) {
    throw new Problem("unauthorized", "The API key is none of ours: ask the operator for one.");
  }
  return name;
}

/** `WWW-Authenticate` of a refusal, as in RFC 6750, section 3: whether a key was missing, or was wrong. */
export function challengeOf(request: Request): string {
  return bearerKey(request) === undefined ? "Bearer" : 'Bearer error="invalid_token"';
}

function bearerKey(request: Request): string | undefined {
  return /^bearer[ \t]+(\S+)[ \t]*$/i.exec(request.headers.get("authorization") ?? "")?.[1];
}

/**
 * The path by which Elysia finds the route, cut out of the URL just as it does that: two readings of one
 * URL would be a way around the guard.
 */
function routedPath({ url }: Request): string {
  return /^http:\/\/[^/]*(\/[^?]*)/.exec(url)?.[1] ?? "";
}
