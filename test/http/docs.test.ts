import { afterAll, beforeAll, expect, test } from "bun:test";
import { problems } from "../../src/errors.ts";
import { send } from "../support/client.ts";
import { startService, type TestService } from "../support/service.ts";

let service: TestService;
beforeAll(async () => {
  service = await startService({ CLIP_WEIGHTS: "openai" });
});
afterAll(() => service.stop());

test("/ is the page, and leads to the documentation", async () => {
  const response = await send(service, "/");
  expect(response.status).toBe(200);
  expect(await response.text()).toContain('href="/docs"');
});

/** Paths that a page loads. */
async function filesOf(path: string): Promise<readonly string[]> {
  const html = await (await send(service, path)).text();
  return [...html.matchAll(/(?:src|href)="(\/[^"]+)"/g)].map(([, file = ""]) => file);
}

for (const path of ["/", "/docs", "/docs/", "/problems", "/problems/overloaded"]) {
  test(`${path} is a page that names no other host and runs no inline script`, async () => {
    const response = await send(service, path);
    expect(response.status).toBe(200);
    expect(response.headers.get("content-type")).toBe("text/html; charset=utf-8");
    const html = await response.text();
    expect(html).toStartWith("<!doctype html>");
    expect(html).not.toMatch(/https?:|\/\/[a-z]/);
    expect(html).not.toMatch(/<script>|\son[a-z]+=/);
    expect(response.headers.get("content-security-policy")).toMatch(/^default-src 'none';/);
    expect(response.headers.get("content-security-policy")).not.toMatch(
      /https?:|script-src[^;]*unsafe/,
    );
  });
}

for (const page of ["/", "/docs"]) {
  test(`every file of ${page} is served by us, with its type, and not sent again`, async () => {
    const files = (await filesOf(page)).filter((file) => file !== "/docs");
    expect(files.length).toBeGreaterThanOrEqual(3);
    for (const file of [...files, page]) {
      const response = await send(service, file);
      expect({ file, status: response.status }).toEqual({ file, status: 200 });
      expect(response.headers.get("content-type")).toMatch(
        /^(text\/(html|javascript|css); charset=utf-8|image\/svg\+xml)$/,
      );
      expect(response.headers.get("cache-control")).toBe("no-cache");
      expect((await response.text()).length).toBeGreaterThan(50);
      const etag = response.headers.get("etag") ?? "";
      const again = await send(service, file, { headers: { "If-None-Match": etag } });
      expect([again.status, await again.text(), again.headers.get("etag")]).toEqual([
        304,
        "",
        etag,
      ]);
    }
  });
}

test("the page and all that it loads have less than 300 kB", async () => {
  const files = ["/", ...(await filesOf("/"))].filter((file) => file !== "/docs");
  const sizes = await Promise.all(
    files.map(async (file) => (await (await send(service, file)).bytes()).length),
  );
  expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThan(300_000);
});

test("the page's script is compressed for those who take that, and only for them", async () => {
  const sent = async (encodings: string) => {
    const headers = { "Accept-Encoding": encodings };
    const url = new URL("/page/page.js", service.url);
    const response = await fetch(url, { headers, decompress: false });
    return {
      encoding: response.headers.get("content-encoding"),
      etag: response.headers.get("etag"),
      vary: response.headers.get("vary"),
      bytes: new Uint8Array(await response.arrayBuffer()),
    };
  };
  const plain = await sent("identity");
  const packed = await sent("br, gzip");
  expect(plain).toMatchObject({ encoding: null, vary: expect.stringContaining("Accept-Encoding") });
  expect(packed).toMatchObject({ encoding: "gzip", vary: plain.vary });
  expect(Bun.gunzipSync(packed.bytes)).toEqual(plain.bytes);
  expect(packed.bytes.length).toBeLessThan(100_000);
  expect(packed.etag).not.toBe(plain.etag);
  for (const refusing of ["gzip;q=0", "gzip; q=0.0, br"]) {
    expect((await sent(refusing)).encoding).toBe(null);
  }
});

test("the page's script asks no validator elsewhere", async () => {
  const start = await (await send(service, "/docs/start.js")).text();
  expect(start).toContain('url: "/openapi.json"');
  expect(start).toContain("validatorUrl: null");
});

for (const path of [
  "/",
  "/page/icon.svg",
  "/docs",
  "/docs/swagger-ui.css",
  "/docs/start.js",
  "/openapi.json",
  "/problems",
]) {
  test(`HEAD ${path} has the length of the GET and no body`, async () => {
    const headers = { "Accept-Encoding": "identity" };
    const get = await send(service, path, { headers });
    const head = await send(service, path, { method: "HEAD", headers });
    expect(head.status).toBe(200);
    expect(head.headers.get("content-type")).toBe(get.headers.get("content-type"));
    expect(Number(head.headers.get("content-length"))).toBe((await get.bytes()).length);
    expect(await head.text()).toBe("");
  });
}

for (const [code, { status, title, explanation }] of Object.entries(problems)) {
  test(`/problems/${code} explains the problem`, async () => {
    const html = await (await send(service, `/problems/${code}`)).text();
    expect(html).toContain(Bun.escapeHTML(title));
    expect(html).toContain(Bun.escapeHTML(explanation));
    expect(html).toContain(`HTTP ${status}`);
  });
}

test("/problems lists every problem", async () => {
  const links = await filesOf("/problems");
  expect(links).toEqual(Object.keys(problems).map((code) => `/problems/${code}`));
});

test("an unknown problem is a 404", async () => {
  for (const code of ["nothing", "toString", "__proto__", "%3Cscript%3E"]) {
    expect((await send(service, `/problems/${code}`)).status).toBe(404);
  }
});
