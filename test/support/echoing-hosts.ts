/** Hosts that give away what they are told: every header goes back to whoever sent it. */
import type { Behaviour } from "./nvidia-fake.ts";

interface ProxyAccount {
  readonly name: string;
  readonly password: string;
}

/** A proxy that wants a password and passes everything on to one host; `next` lets it answer for itself. */
export function startProxy(upstream: string, { name, password }: ProxyAccount) {
  const script: Behaviour[] = [];
  const expected = `Basic ${Buffer.from(`${name}:${password}`).toString("base64")}`;
  const seen: string[] = [];
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: async (request) => {
      const { method, headers, signal, url } = request;
      seen.push(url);
      const { pathname: path } = new URL(url);
      const body = await request.text();
      const behaviour = script.shift();
      if (behaviour !== undefined) return behaviour({ method, path, headers, body, signal });
      if (headers.get("proxy-authorization") !== expected) return echo(407)(request);
      return fetch(`${upstream}${path}`, {
        method,
        headers,
        signal,
        redirect: "manual",
        ...(method === "GET" ? {} : { body }),
      });
    },
  });
  return {
    url: `http://${name}:${encodeURIComponent(password)}@127.0.0.1:${server.port}`,
    /** URLs that were asked for, in order. */
    seen,
    next: (...behaviours: readonly Behaviour[]) => void script.push(...behaviours),
    [Symbol.asyncDispose]: () => server.stop(true),
  };
}

/** Answers with a status, and repeats every header that it got, in its own headers and in its body. */
export function echo(status: number) {
  return ({ headers }: { readonly headers: Headers }): Response => {
    const detail = `You sent ${JSON.stringify([...headers])}.`;
    const told = [...headers].filter(([name]) => name.endsWith("authorization"));
    return Response.json(
      { detail, title: detail, model: detail },
      { status, headers: { "X-You-Sent": told.join("; "), Location: `/${told.join("/")}` } },
    );
  };
}
