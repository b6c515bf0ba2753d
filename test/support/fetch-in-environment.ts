/**
 * Fetches an image in a process of its own, whose environment a test chooses: Bun reads proxies and
 * certificate checking from there.
 */
import { parseFetchAllow } from "../../src/net/fetch-allow.ts";
import { createUrlSource } from "../../src/sources/url.ts";

/** @returns the body as text, or the problem's code. */
export async function fetchInEnvironment(
  url: string,
  environment: Readonly<Record<string, string>>,
): Promise<string> {
  const child = Bun.spawn([process.execPath, import.meta.path, url], {
    env: { ...Bun.env, ...environment },
    stdout: "pipe",
  });
  return await new Response(child.stdout).text();
}

if (import.meta.main) {
  const allow = parseFetchAllow(["127.0.0.1"]);
  const source = createUrlSource({ fetchTimeoutMs: 10_000, maxImageBytes: 1000, allow });
  const outcome = await source.open(Bun.argv[2] ?? "", new AbortController().signal).then(
    (bytes) => new TextDecoder().decode(bytes),
    (error) => error.code,
  );
  process.stdout.write(String(outcome));
}
