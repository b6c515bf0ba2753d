import { describe, expect, test } from "bun:test";
import { Problem } from "../../src/errors.ts";
import { parseFetchAllow } from "../../src/net/fetch-allow.ts";
import { createUrlSource } from "../../src/sources/url.ts";
import { makeCertificate } from "../support/certificate.ts";
import { fetchInEnvironment } from "../support/fetch-in-environment.ts";
import { leftOut } from "../support/left-out.ts";
import { redirect, respond, startOrigin } from "../support/origin.ts";

type SourceOptions = Parameters<typeof createUrlSource>[0];

/** Fetches with nothing allowed unless told; the outcome is the body as text, or the problem. */
async function open(
  url: string,
  { allow = [], ...options }: Partial<Omit<SourceOptions, "allow">> & { allow?: string[] } = {},
): Promise<unknown> {
  const source = createUrlSource({
    fetchTimeoutMs: 10_000,
    maxImageBytes: 1000,
    allow: parseFetchAllow(allow),
    ...options,
  });
  const signal = new AbortController().signal;
  return await source.open(url, signal).then(
    (bytes) => new TextDecoder().decode(bytes),
    (error: unknown) => error,
  );
}

const forbidden = { code: "forbidden-address" };

describe("an address that is not public", () => {
  test.each([
    "http://127.0.0.1/",
    "http://localhost/",
    "http://localhost./",
    "http://2130706433/",
    "http://017700000001/",
    "http://0x7f.1/",
    "http://127.1/",
    "http://①②⑦.⓪.⓪.①/",
    "http://１２７。０。０。１/",
    "http://%31%32%37.0.0.1/",
    "http://0/",
    "http://[::]/",
    "http://[::1]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::127.0.0.1]/",
    "http://[64:ff9b::127.0.0.1]/",
    "http://[2002:7f00:1::]/",
    "http://[fd00:ec2::254]/",
    "http://169.254.169.254/latest/meta-data/",
    "https://168.63.129.16/",
  ])("is refused however it is spelled: %s", async (url) => {
    expect(await open(url)).toMatchObject(forbidden);
  });

  test("is refused in the same words whether or not something listens there", async () => {
    await using origin = await startOrigin({ "/": respond({ body: "secret" }) });
    const listening = await open(origin.url("/"));
    const silent = await open("http://127.0.0.1:1/");
    expect(listening).toMatchObject(forbidden);
    expect(silent).toEqual(listening);
    expect(origin.requests).toEqual([]);
  });

  test("is refused behind a name, also when it is one of several or unreadable", async () => {
    for (const addresses of [
      ["10.0.0.1"],
      ["8.8.8.8", "10.0.0.1"],
      ["::1", "8.8.8.8"],
      ["fe80::1%eth0"],
    ]) {
      const problem = await open("http://images.example/", { resolve: async () => addresses });
      expect(problem).toMatchObject(forbidden);
    }
  });

  test("is not named in the refusal of a name that leads to it", async () => {
    const problem = await open("http://images.example/", { resolve: async () => ["10.11.12.13"] });
    expect(problem).toBeInstanceOf(Problem);
    expect(String(problem)).not.toContain("10.11");
  });

  test.each([
    "http://169.254.169.254/latest/meta-data/",
    "http://[::1]/",
    "http://internal.example/",
    "//10.0.0.1/",
    "https://93.184.216.34:22/",
  ])("is refused as the target of a redirect: %s", async (location) => {
    await using origin = await startOrigin({ "/": redirect(location) });
    const resolve = async () => ["192.168.1.1"];
    const problem = await open(origin.url("/"), { allow: ["127.0.0.1"], resolve });
    expect(problem).toMatchObject(forbidden);
  });
});

describe("a port other than 80 and 443", () => {
  test.each([
    "http://93.184.216.34:22/",
    "https://93.184.216.34:8443/",
    "http://93.184.216.34:0/",
    "http://images.example:22/",
  ])("is refused on a public address: %s", async (url) => {
    expect(await open(url, { resolve: async () => ["93.184.216.34"] })).toMatchObject(forbidden);
  });

  test("is reached where it is allowed, and no other", async () => {
    await using origin = await startOrigin({ "/": respond({ body: "picture" }) });
    const allow = [`127.0.0.1:${origin.port}`];
    expect(await open(origin.url("/"), { allow })).toBe("picture");
    expect(await open(`http://127.0.0.1:${origin.port + 1}/`, { allow })).toMatchObject(forbidden);
  });
});

describe("a name whose addresses change", () => {
  test("is looked up once, and connected to at the address that was checked", async () => {
    await using checked = await startOrigin({ "/": respond({ body: "checked" }) });
    await using secret = await startOrigin(
      { "/": respond({ body: "secret" }) },
      { hostname: "127.0.0.2", port: checked.port },
    );
    const answers = [["127.0.0.1"], ["127.0.0.2"]];
    const outcome = await open(`http://rebind.example:${checked.port}/`, {
      allow: [`127.0.0.1:${checked.port}`],
      resolve: async () => answers.shift() ?? [],
    });
    expect(outcome).toBe("checked");
    expect(answers).toEqual([["127.0.0.2"]]);
    expect(secret.requests).toEqual([]);
  });

  test("is checked again at a redirect to itself", async () => {
    await using origin = await startOrigin({ "/": redirect("/next") });
    const answers = [["127.0.0.1"], ["127.0.0.2"]];
    const problem = await open(`http://rebind.example:${origin.port}/`, {
      allow: [`127.0.0.1:${origin.port}`],
      resolve: async () => answers.shift() ?? [],
    });
    expect(problem).toMatchObject(forbidden);
  });
});

test("a host that is allowed by name is reached wherever it resolves to", async () => {
  await using origin = await startOrigin({ "/": respond({ body: "picture" }) });
  const resolve = async () => ["127.0.0.1"];
  const url = `http://nas.lan:${origin.port}/`;
  expect(await open(url, { allow: ["nas.lan"], resolve })).toBe("picture");
  expect(await open(url, { allow: ["other.lan"], resolve })).toMatchObject(forbidden);
});

test("an IPv6 address is reached", async () => {
  try {
    await using origin = await startOrigin(
      { "/": respond({ body: "picture" }) },
      { hostname: "::1" },
    );
    expect(await open(origin.url("/"), { allow: ["::1"] })).toBe("picture");
    expect(origin.requests[0]?.headers.get("host")).toBe(`[::1]:${origin.port}`);
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "EADDRNOTAVAIL")) throw error;
    leftOut("fetching over IPv6: this machine has no ::1");
  }
});

describe("over TLS", () => {
  const named = makeCertificate("DNS:images.example");
  const numbered = makeCertificate("IP:127.0.0.1");
  if (named === undefined || numbered === undefined) {
    test("certificates are checked", () => leftOut("TLS to image hosts: there is no openssl"));
    return;
  }
  const picture = { "/": respond({ body: "picture" }) };
  const resolve = async () => ["127.0.0.1"];
  const allow = ["127.0.0.1"];

  test("the certificate is checked against the URL's name, not against the address", async () => {
    await using origin = await startOrigin(picture, { certificate: named });
    const options = { allow, resolve, trustedAuthorities: named.cert };
    expect(await open(`https://images.example:${origin.port}/`, options)).toBe("picture");
    expect(await open(`https://images.example.:${origin.port}/`, options)).toBe("picture");
    for (const hostname of ["other.example", "127.0.0.1"]) {
      const problem = await open(`https://${hostname}:${origin.port}/`, options);
      expect(problem).toMatchObject({ code: "origin-error" });
      expect(problem).toHaveProperty("message", expect.stringContaining("TLS certificate"));
    }
  });

  test("an address is checked against a certificate for that address", async () => {
    await using origin = await startOrigin(picture, { certificate: numbered });
    const options = { allow, trustedAuthorities: numbered.cert };
    expect(await open(origin.url("/"), options)).toBe("picture");
  });

  test("an unknown authority is an origin-error, also where the environment says not to check", async () => {
    await using origin = await startOrigin(picture, { certificate: numbered });
    expect(await open(origin.url("/"), { allow })).toMatchObject({ code: "origin-error" });
    const unchecked = { NODE_TLS_REJECT_UNAUTHORIZED: "0" };
    expect(await fetchInEnvironment(origin.url("/"), unchecked)).toBe("origin-error");
  });

  test("a host that speaks plain HTTP is an origin-error that says so", async () => {
    await using origin = await startOrigin(picture);
    const problem = await open(origin.url("/").replace("http:", "https:"), { allow });
    expect(problem).toMatchObject({ code: "origin-error" });
    expect(problem).toHaveProperty("message", expect.stringContaining("does not speak TLS"));
  });
});

test("the environment's proxy is never asked", async () => {
  await using origin = await startOrigin({ "/": respond({ body: "direct" }) });
  await using proxy = await startOrigin({});
  const names = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"].flatMap((name) => [
    name,
    name.toLowerCase(),
  ]);
  const environment = Object.fromEntries(names.map((name) => [name, proxy.url("/")]));
  expect(await fetchInEnvironment(origin.url("/"), { ...environment, NO_PROXY: "" })).toBe(
    "direct",
  );
  expect(proxy.requests).toEqual([]);
});
