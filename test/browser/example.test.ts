/** The example app in Chromium, as a page of another origin: what CORS lets it do, and what it does not. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Browser, Page } from "playwright-core";
import app from "../../src/web/example/index.html";
import { leftOut } from "../support/left-out.ts";
import { type Origin, respond, startOrigin } from "../support/origin.ts";
import { makePng } from "../support/pictures.ts";
import { startService, type TestService } from "../support/service.ts";
import { findChromium, recordPage, startChromium } from "./chromium.ts";

const chromium = findChromium();
if (chromium === undefined) {
  leftOut("the example app in a browser: no Chromium; install it or set CHROMIUM_PATH");
}

let web: ReturnType<typeof startWeb>;
let pictures: Origin;
let service: TestService;
let browser: Browser;

/** The app's own web server. */
function startWeb() {
  return Bun.serve({ hostname: "127.0.0.1", port: 0, development: false, routes: { "/": app } });
}

beforeAll(async () => {
  if (chromium === undefined) return;
  web = startWeb();
  const shown = async (seed: number) => respond({ body: await makePng({ seed }) });
  pictures = await startOrigin({ "/1.png": await shown(1), "/2.png": await shown(2) });
  service = await startService({
    FETCH_ALLOW: "127.0.0.1",
    // The name is listed, and the address is not: two origins of one server.
    CORS_ORIGINS: `http://localhost:${web.port}`,
    RATE_LIMIT: "60/m",
  });
  browser = await startChromium(chromium);
});

afterAll(async () => {
  if (chromium === undefined) return;
  await browser.close();
  await service.stop();
  await pictures[Symbol.asyncDispose]();
  await web.stop(true);
});

/** Opens the app from one of the two origins. */
async function openApp(host: "localhost" | "127.0.0.1"): Promise<Page> {
  const page = await browser.newPage();
  await page.goto(`http://${host}:${web.port}/?service=${service.url.origin}`);
  return page;
}

async function add(page: Page, url: string): Promise<void> {
  await page.getByLabel("Image URL").fill(url);
  await page.getByRole("button", { name: "Add" }).click();
}

describe.if(chromium !== undefined)("the example app, of another origin", () => {
  test("sends image URLs, stores the vectors, and finds the pictures by text, also after a reload", async () => {
    const page = await openApp("localhost");
    const { errors } = recordPage(page);
    for (const name of ["1.png", "2.png"]) {
      await add(page, pictures.url(`/${name}`));
      await page.getByText("512 numbers").waitFor();
      await page.getByRole("button", { name: "Keep it" }).click();
      await page.locator("li", { hasText: name }).waitFor();
    }
    await page.reload();
    await page.getByLabel("Search").fill("a dog in the snow");
    await page.getByLabel("Search").press("Enter");
    await page.locator("output").nth(1).waitFor();
    const cosines = (await page.locator("output").allTextContents()).map(Number);
    expect(cosines).toEqual(cosines.toSorted((a, b) => b - a));
    expect(errors).toEqual([]);
    // Browsers asked for permission first: for JSON, and for an upload whose progress is watched.
    for (const path of ["/upload", "/embed-text"]) {
      const asked = service.log.filter((line) =>
        line.includes(`"method":"OPTIONS","path":"${path}"`),
      );
      expect(asked.length).toBeGreaterThan(0);
    }
    await page.close();
  });

  test("reads the service's words about what went wrong, its request id and its times", async () => {
    const page = await openApp("localhost");
    await add(page, "http://10.0.0.1/a.png");
    await page.getByRole("alert").filter({ hasText: "not public" }).waitFor();
    await add(page, pictures.url("/gone.png"));
    await page.getByRole("alert").filter({ hasText: "404" }).waitFor();
    const read = await page.evaluate(`(async () => {
      const { status, headers } = await fetch("${service.url.origin}/upload?model=nothing", {
        method: "POST",
        body: new URLSearchParams({ imageUrl: "http://a.example" }),
      });
      const names = ["x-request-id", "server-timing", "ratelimit"];
      return [status, ...names.map((name) => headers.get(name) !== null)];
    })()`);
    expect(read).toEqual([422, true, true, true]);
    await page.close();
  });

  test("from an origin that is not listed nothing is read, and the app says what may be the matter", async () => {
    const page = await openApp("127.0.0.1");
    await add(page, pictures.url("/1.png"));
    await page.getByRole("alert").filter({ hasText: "CORS_ORIGINS lists this page" }).waitFor();
    await page.close();
  });
});
