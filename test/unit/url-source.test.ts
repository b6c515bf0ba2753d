import { describe, expect, test } from "bun:test";
import { version } from "../../package.json" with { type: "json" };
import { limits } from "../../src/limits.ts";
import { parseFetchAllow } from "../../src/net/fetch-allow.ts";
import { createUrlSource } from "../../src/sources/url.ts";
import {
  closeMidBody,
  dripBody,
  dripHeaders,
  gzipBomb,
  redirect,
  resetAtOnce,
  resetMidBody,
  respond,
  sendForever,
  speakSsh,
  startOrigin,
  staySilent,
} from "../support/origin.ts";

type SourceOptions = Parameters<typeof createUrlSource>[0];

const maxImageBytes = 100_000;
const picture = crypto.getRandomValues(new Uint8Array(50_000));

function sourceWith({
  allow = ["127.0.0.1"],
  ...options
}: Partial<Omit<SourceOptions, "allow">> & { readonly allow?: readonly string[] } = {}) {
  return createUrlSource({
    fetchTimeoutMs: 10_000,
    maxImageBytes,
    allow: parseFetchAllow(allow),
    ...options,
  });
}

/** The outcome of a fetch: bytes, or the problem. */
function open(url: string, source = sourceWith(), signal = new AbortController().signal) {
  return source.open(url, signal).catch((error: unknown) => error);
}

describe("an image URL", () => {
  test("gives the bytes of its body, in a buffer of their own", async () => {
    await using origin = await startOrigin({ "/a.jpg?size=1": respond({ body: picture }) });
    const bytes = await sourceWith().open(
      origin.url("/a.jpg?size=1#part"),
      new AbortController().signal,
    );
    expect(bytes).toEqual(picture);
    expect(bytes.buffer.byteLength).toBe(picture.length);
  });

  test("gives a body without Content-Length, which ends with its connection", async () => {
    await using origin = await startOrigin({
      "/": (connection) => {
        connection.write("HTTP/1.1 200 OK\r\n\r\n");
        connection.end(picture);
      },
    });
    expect(await open(origin.url("/"))).toEqual(picture);
  });

  test("gives an empty body, and one that claims to be HTML, for others to judge", async () => {
    await using origin = await startOrigin({
      "/empty": respond(),
      "/html": respond({ headers: { "Content-Type": "text/html" }, body: picture }),
    });
    expect(await open(origin.url("/empty"))).toEqual(new Uint8Array());
    expect(await open(origin.url("/html"))).toEqual(picture);
  });

  test("is asked for with the host's name and nothing that tells about the caller", async () => {
    await using origin = await startOrigin({ "/": respond({ body: picture }) });
    const source = sourceWith({ resolve: async () => ["127.0.0.1"] });
    await open(`http://images.example:${origin.port}/`, source);
    const [request] = origin.requests;
    expect(Object.fromEntries(request?.headers ?? [])).toEqual({
      accept: "image/*",
      "accept-encoding": "identity",
      host: `images.example:${origin.port}`,
      "user-agent": `Mozilla/5.0 (compatible; imagesvc/${version})`,
    });
  });

  test("gets no cookie back that its host has set", async () => {
    await using origin = await startOrigin({
      "/": respond({ status: 302, headers: { Location: "/next", "Set-Cookie": "a=b" } }),
      "/next": respond({ body: picture }),
    });
    expect(await open(origin.url("/"))).toEqual(picture);
    expect(origin.requests.map(({ headers }) => headers.has("cookie"))).toEqual([false, false]);
  });

  test("leaves no connection open once its bytes are there", async () => {
    await using origin = await startOrigin({ "/": respond({ body: picture }) });
    await open(origin.url("/"));
    await origin.allClosed();
  });
});

describe("a host that fails", () => {
  test.each([
    ["404", respond({ status: 404, body: picture }), "status 404"],
    ["500", respond({ status: 500, body: picture }), "status 500"],
    ["304", respond({ status: 304 }), "status 304"],
    ["a redirect without Location", respond({ status: 302 }), "without saying where"],
    ["a redirect to file:", redirect("file:///etc/passwd"), "not a plain http"],
    ["a redirect to data:", redirect("data:image/png;base64,AAAA"), "not a plain http"],
    ["a redirect with a password", redirect("http://a:b@127.0.0.1/"), "not a plain http"],
    ["a redirect to nonsense", redirect("http://a b/"), "not a plain http"],
    ["a redirect to itself", redirect("/"), `more than ${limits.maxRedirects} times`],
    ["a reset at once", resetAtOnce, "closed the connection"],
    ["a reset in the middle", resetMidBody, "closed the connection"],
    ["fewer bytes than announced", closeMidBody, "closed the connection"],
    ["another protocol", speakSsh, "valid HTTP"],
    [
      "a body that does not decompress",
      respond({ headers: { "Content-Encoding": "gzip" }, body: "no gzip" }),
      "does not decompress",
    ],
  ])("with %s is an origin-error that says so", async (_, answer, words) => {
    await using origin = await startOrigin({ "/": answer });
    const problem = await open(origin.url("/"));
    expect(problem).toMatchObject({ code: "origin-error" });
    expect(problem).toHaveProperty("message", expect.stringContaining(words));
    await origin.allClosed();
  });

  test("is named by its status where it answered with one", async () => {
    await using origin = await startOrigin({ "/gone": respond({ status: 410 }) });
    expect(await open(origin.url("/gone"))).toMatchObject({ originStatus: 410 });
  });

  test("is an origin-error where nothing listens, whose name does not resolve or has no address", async () => {
    const origin = await startOrigin({});
    await origin[Symbol.asyncDispose]();
    const refused = await open(origin.url("/"));
    expect(refused).toMatchObject({ code: "origin-error" });
    expect(refused).toHaveProperty("message", expect.stringContaining("refused the connection"));
    const notFound = Object.assign(new Error("no such name"), { code: "DNS_ENOTFOUND" });
    const nowhere = sourceWith({ resolve: () => Promise.reject(notFound) });
    const unknown = await open("http://images.example/", nowhere);
    expect(unknown).toMatchObject({ code: "origin-error" });
    expect(unknown).toHaveProperty("message", expect.stringContaining("does not resolve"));
    const empty = await open("http://images.example/", sourceWith({ resolve: async () => [] }));
    expect(empty).toMatchObject({ code: "origin-error" });
  });

  test("is passed over for its next address where the first refuses", async () => {
    await using origin = await startOrigin({ "/": respond({ body: picture }) });
    const resolve = async () => ["127.0.0.9", "127.0.0.1"];
    const source = sourceWith({ allow: ["127.0.0.0/8"], resolve });
    expect(await open(`http://images.example:${origin.port}/`, source)).toEqual(picture);
  });

  test("is logged without the URL, whose query may be a secret", async () => {
    await using origin = await startOrigin({ "/?token=secret": speakSsh });
    const problem = await open(origin.url("/?token=secret"));
    expect(problem).toHaveProperty("cause", expect.stringMatching(/^\w+$/));
  });

  test("is an internal error where the fault is a bug of ours", async () => {
    const bug = new TypeError("undefined is not a function");
    const source = sourceWith({ resolve: () => Promise.reject(bug) });
    expect(await open("http://images.example/", source)).toBe(bug);
  });
});

describe("a host that is slow", () => {
  test.each([
    ["says nothing", staySilent],
    ["drips headers", dripHeaders],
    ["drips its body", dripBody],
    ["redirects, then says nothing", redirect("/silent")],
  ])("and %s is an origin-timeout that leaves no connection", async (_, answer) => {
    await using origin = await startOrigin({ "/": answer, "/silent": staySilent });
    const problem = await open(origin.url("/"), sourceWith({ fetchTimeoutMs: 150 }));
    expect(problem).toMatchObject({ code: "origin-timeout" });
    await origin.allClosed();
  });

  test("to resolve is an origin-timeout", async () => {
    const resolve = () => new Promise<never>(() => {});
    const source = sourceWith({ fetchTimeoutMs: 50, resolve });
    expect(await open("http://images.example/", source)).toMatchObject({ code: "origin-timeout" });
  });
});

describe("a body that is too large", () => {
  test.each([
    ["by its Content-Length", respond({ headers: { "Content-Length": maxImageBytes + 1 } })],
    ["by one byte", respond({ body: new Uint8Array(maxImageBytes + 1) })],
    ["without end", sendForever],
    ["after decompression", gzipBomb(50 * maxImageBytes)],
  ])("%s is a body-too-large that leaves no connection", async (_, answer) => {
    await using origin = await startOrigin({ "/": answer });
    expect(await open(origin.url("/"))).toMatchObject({ code: "body-too-large" });
    await origin.allClosed();
  });

  test("has its connection closed by us, not some time by the garbage collector", async () => {
    await using origin = await startOrigin({
      "/": respond({ headers: { "Content-Length": maxImageBytes + 1 } }),
    });
    for (let count = 0; count < 20; count += 1) await open(origin.url("/"));
    expect(origin.openConnections()).toBeLessThan(20);
  });

  test("by no byte is not too large", async () => {
    const body = crypto.getRandomValues(new Uint8Array(65_536));
    await using origin = await startOrigin({ "/": respond({ body }) });
    expect(await open(origin.url("/"), sourceWith({ maxImageBytes: 65_536 }))).toEqual(body);
  });

  test("behind a redirect does not matter", async () => {
    await using origin = await startOrigin({
      "/": (connection) => {
        connection.write("HTTP/1.1 302 Found\r\nLocation: /end\r\nContent-Length: 9999999\r\n\r\n");
      },
      "/end": respond({ body: picture }),
    });
    expect(await open(origin.url("/"))).toEqual(picture);
  });
});

describe("a redirect", () => {
  test("is followed, relative or absolute, up to the limit", async () => {
    await using other = await startOrigin({ "/end": respond({ body: picture }) });
    await using origin = await startOrigin({
      "/a/1": redirect("../2", 301),
      "/2": redirect("/3?x=y", 303),
      "/3?x=y": redirect("?4", 307),
      "/3?4": redirect(`//127.0.0.1:${other.port}/end`, 308),
    });
    expect(await open(origin.url("/a/1"))).toEqual(picture);
    expect(origin.requests.map(({ path }) => path)).toEqual(["/a/1", "/2", "/3?x=y", "/3?4"]);
  });

  test("is counted: the last one allowed arrives, one more does not", async () => {
    const chain = Object.fromEntries(
      Array.from({ length: limits.maxRedirects + 1 }, (_, hop) => [
        `/${hop}`,
        redirect(`/${hop + 1}`),
      ]),
    );
    const end = { [`/${limits.maxRedirects + 1}`]: respond({ body: picture }) };
    await using origin = await startOrigin({ ...chain, ...end });
    expect(await open(origin.url("/1"))).toEqual(picture);
    expect(await open(origin.url("/0"))).toMatchObject({ code: "origin-error" });
  });
});

describe("a caller who leaves", () => {
  // Looks like a failure of the network, but is none.
  const gone = Object.assign(new Error("gone"), { code: "ECONNRESET" });

  test.each([
    ["before anything is sent", staySilent],
    ["amid the headers", dripHeaders],
    ["amid the body", dripBody],
  ])("%s gets the reason back and leaves no connection", async (_, answer) => {
    const caller = new AbortController();
    await using origin = await startOrigin({
      "/": (connection) => {
        answer(connection);
        setTimeout(() => caller.abort(gone), 20);
      },
    });
    expect(await open(origin.url("/"), sourceWith(), caller.signal)).toBe(gone);
    await origin.allClosed();
  });

  test("while the name is looked up gets the reason back", async () => {
    const caller = new AbortController();
    const resolve = () => {
      queueMicrotask(() => caller.abort("gone"));
      return new Promise<never>(() => {});
    };
    const source = sourceWith({ resolve });
    expect(await open("http://images.example/", source, caller.signal)).toBe("gone");
  });

  test("before the call makes no connection", async () => {
    await using origin = await startOrigin({ "/": respond({ body: picture }) });
    expect(await open(origin.url("/"), sourceWith(), AbortSignal.abort("gone"))).toBe("gone");
    expect(origin.requests).toEqual([]);
  });
});
