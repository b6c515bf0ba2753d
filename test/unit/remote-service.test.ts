/** A service as its client meets it: busy, gone, restarted, or none at all. */
import { afterEach, expect, test } from "bun:test";
import { createRemoteService, RemoteError } from "../../src/cli/remote-service.ts";
import { Problem } from "../../src/errors.ts";

type Answer = (request: Request) => Response | Promise<Response>;

const servers: { stop(force: boolean): unknown }[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.stop(true);
});

/** Starts a service that has these answers, one after the other; the last one stays. */
function start(answers: readonly Answer[], port = 0) {
  const requests: { readonly url: string; readonly key: string | null }[] = [];
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port,
    fetch: (request) => {
      const answer = answers[Math.min(requests.length, answers.length - 1)];
      requests.push({ url: request.url, key: request.headers.get("authorization") });
      return answer?.(request) ?? new Response();
    },
  });
  servers.push(server);
  return { url: new URL(server.url), requests };
}

function connect(
  url: URL,
  options: { readonly patienceMs?: number; readonly stop?: AbortSignal } = {},
) {
  return createRemoteService({
    url,
    apiKey: "secret-key",
    timeoutMs: 5_000,
    patienceMs: 20_000,
    stop: new AbortController().signal,
    ...options,
  });
}

const good: Answer = () => Response.json({ vector: [1] });
const request = { path: "embed-text", query: { model: "m" }, body: () => ({ body: "{}" }) };

function problem(status: number, code: string, headers: Record<string, string> = {}): Answer {
  return () => Response.json({ code, detail: `It is ${code}.` }, { status, headers });
}

test("a service that is busy is asked again after the time that it names, with the key each time", async () => {
  const soon = { "Retry-After": "0" };
  const { url, requests } = start([
    problem(503, "overloaded", soon),
    problem(429, "rate-limited", soon),
    problem(503, "model-unavailable", soon),
    problem(504, "inference-timeout", soon),
    good,
  ]);
  expect(await connect(url).ask(request)).toEqual({ answer: { vector: [1] } });
  expect(requests.map(({ key }) => key)).toEqual(Array(5).fill("Bearer secret-key"));
  expect(requests.map((one) => one.url)).toEqual(Array(5).fill(`${url.href}embed-text?model=m`));
});

test("one that restarts, and a proxy in front of it, are waited for", async () => {
  const { url } = start([
    problem(503, "shutting-down"),
    () => new Response("<html>Bad Gateway</html>", { status: 502 }),
    good,
  ]);
  expect(await connect(url).ask(request)).toEqual({ answer: { vector: [1] } });
  const first = start([good]);
  const port = Number(first.url.port);
  for (const server of servers.splice(0)) server.stop(true);
  const asked = connect(first.url).ask(request);
  await Bun.sleep(50);
  start([good], port);
  expect(await asked).toEqual({ answer: { vector: [1] } });
});

test("what is wrong with one image is its own problem, and is not asked again", async () => {
  const { url, requests } = start([
    problem(422, "undecodable-image"),
    problem(502, "origin-error"),
  ]);
  for (const code of ["undecodable-image", "origin-error"] as const) {
    const asked = await connect(url).ask(request);
    expect(asked).toBeInstanceOf(Problem);
    expect(asked).toMatchObject({ code, message: `It is ${code}.` });
  }
  expect(requests).toHaveLength(2);
});

test.each<[string, Answer, string]>([
  ["a key that is refused", problem(401, "unauthorized"), "set IMAGESVC_API_KEY"],
  ["a model that is not served", problem(422, "unknown-model"), "It is unknown-model."],
  ["a model that will not come", problem(503, "model-unavailable"), "It is model-unavailable."],
  [
    "a redirect",
    () => new Response(null, { status: 301, headers: { Location: "https://other/" } }),
    "redirects to https://other/",
  ],
  [
    "another program",
    () => new Response("hello", { status: 404 }),
    "in a way that imagesvc does not",
  ],
  [
    "another program that likes everything",
    () => new Response("hello"),
    "in a way that imagesvc does not",
  ],
])("%s ends everything", async (_, answer, sentence) => {
  const { url, requests } = start([answer]);
  const asked = connect(url).ask(request);
  await expect(asked).rejects.toThrow(RemoteError);
  await expect(asked).rejects.toThrow(sentence);
  expect(requests).toHaveLength(1);
});

test("patience has an end, at once where the service names a time beyond it", async () => {
  const { url, requests } = start([problem(503, "overloaded", { "Retry-After": "3600" })]);
  await expect(connect(url).ask(request)).rejects.toThrow(
    "answers 503 overloaded, for longer than is waited: start again with --resume",
  );
  expect(requests).toHaveLength(1);
  for (const server of servers.splice(0)) server.stop(true);
  await expect(connect(url, { patienceMs: 0 }).ask(request)).rejects.toThrow("does not answer");
});

test("an interruption ends the wait", async () => {
  const { url } = start([problem(503, "overloaded", { "Retry-After": "10" })]);
  const stop = new AbortController();
  const asked = connect(url, { stop: stop.signal }).ask(request);
  await Bun.sleep(20);
  stop.abort(new Error("enough"));
  await expect(asked).rejects.toThrow();
});
