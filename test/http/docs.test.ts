import { afterAll, beforeAll, expect, test } from "bun:test";
import { problems } from "../../src/errors.ts";
import { send } from "../support/client.ts";
import { startService, type TestService } from "../support/service.ts";

let service: TestService;
beforeAll(async () => {
  service = await startService({ CLIP_WEIGHTS: "openai" });
});
afterAll(() => service.stop());

test("/ redirects to the documentation", async () => {
  const response = await send(service, "/");
  expect(response.status).toBe(302);
  expect(response.headers.get("location")).toBe("/docs");
});

/** Paths that a page loads. */
async function filesOf(path: string): Promise<readonly string[]> {
  const html = await (await send(service, path)).text();
  return [...html.matchAll(/(?:src|href)="(\/[^"]+)"/g)].map(([, file = ""]) => file);
}

for (const path of ["/docs", "/docs/", "/problems", "/problems/overloaded"]) {
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

test("every file of /docs is served by us, with its type", async () => {
  const files = await filesOf("/docs");
  expect(files.length).toBeGreaterThanOrEqual(3);
  for (const file of files) {
    const response = await send(service, file);
    expect({ file, status: response.status }).toEqual({ file, status: 200 });
    expect(response.headers.get("content-type")).toMatch(/^text\/(javascript|css); charset=utf-8$/);
    expect((await response.text()).length).toBeGreaterThan(50);
  }
});

test("the page's script asks no validator elsewhere", async () => {
  const start = await (await send(service, "/docs/start.js")).text();
  expect(start).toContain('url: "/openapi.json"');
  expect(start).toContain("validatorUrl: null");
});

for (const path of [
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
