/** `/docs` in Chromium: every documented request is tried from the page. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Browser, Locator, Page } from "playwright-core";
import { createApiKey, withApiKey } from "../../src/store/api-keys.ts";
import { send } from "../support/client.ts";
import { leftOut } from "../support/left-out.ts";
import { type NvidiaFake, startNvidiaFake } from "../support/nvidia-fake.ts";
import { type Origin, respond, startOrigin } from "../support/origin.ts";
import { makePng } from "../support/pictures.ts";
import { reachingFakes, startService, type TestService } from "../support/service.ts";
import { repositoryRoot } from "../support/source-files.ts";
import { findChromium, type PageRecord, recordPage, screens, startChromium } from "./chromium.ts";

const chromium = findChromium();
if (chromium === undefined) {
  leftOut("/docs in a browser: no Chromium; install it or set CHROMIUM_PATH");
}

const apiKey = createApiKey("docs", new Date());
let folder: string;
let nvidia: NvidiaFake;
let origin: Origin;
let service: TestService;
let keyedService: TestService;
let browser: Browser;
/** Method and path of every request of the document. */
let documented: readonly string[];

beforeAll(async () => {
  if (chromium === undefined) return;
  folder = await mkdtemp(join(tmpdir(), "imagesvc-docs-"));
  const keys = join(folder, "api-keys");
  await Bun.write(keys, withApiKey("", apiKey.entry));
  nvidia = startNvidiaFake();
  origin = await startOrigin({ "/picture.png": respond({ body: await makePng() }) });
  service = await startService(reachingFakes(nvidia));
  keyedService = await startService({
    API_KEYS_FILE: keys,
    CACHE_DIR: join(folder, "cache"),
    CACHE_MAX_BYTES: "64000000",
  });
  browser = await startChromium(chromium);
  const { paths }: { readonly paths: Readonly<Record<string, object>> } = JSON.parse(
    await (await send(service, "/openapi.json")).text(),
  );
  documented = Object.entries(paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method} ${path}`),
  );
});

afterAll(async () => {
  if (chromium === undefined) return;
  await browser.close();
  await service.stop();
  await keyedService.stop();
  await origin[Symbol.asyncDispose]();
  await nvidia.stop();
  await rm(folder, { recursive: true });
});

/** Opens the page; afterwards it has asked no other host, broken no policy, and fits the screen. */
async function visitDocs(
  size: keyof typeof screens,
  at: URL,
  visit: (page: Page, record: PageRecord) => Promise<void>,
): Promise<void> {
  const context = await browser.newContext(screens[size]);
  try {
    const page = await context.newPage();
    const record = recordPage(page);
    await page.goto(new URL("/docs", at).href);
    await page.locator(".opblock").first().waitFor();
    await visit(page, record);
    expect([...record.hosts]).toEqual([at.host]);
    // Chromium writes one for every answer of 400 and more.
    const isOurs = (error: string) => !error.startsWith("Failed to load resource");
    expect(record.errors.filter(isOurs)).toEqual([]);
    expect(await page.evaluate("document.documentElement.scrollWidth - innerWidth")).toBe(0);
  } finally {
    await context.close();
  }
}

/** What a request of the page came to. */
interface Outcome {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
}

/** A block of the page: one method of one path. */
function operation(page: Page, name: string): Locator {
  const [method, path] = name.split(" ");
  return page.locator(`.opblock-${method}`, { has: page.locator(`[data-path="${path}"]`) });
}

async function open(page: Page, name: string): Promise<Locator> {
  const request = operation(page, name);
  await request.locator(".opblock-summary-control").click();
  await request.getByRole("button", { name: "Execute" }).waitFor();
  return request;
}

/** Presses Execute and returns the answer as the page shows it. */
async function execute(request: Locator): Promise<Outcome> {
  const clear = request.getByRole("button", { name: "Clear" });
  if ((await clear.count()) > 0) await clear.click();
  await request.getByRole("button", { name: "Execute" }).click();
  const shown = request.locator(".live-responses-table tbody .response");
  await shown.waitFor();
  const status = (await shown.locator(".response-col_status").textContent()) ?? "";
  const body = shown.locator(".response-col_description pre").first();
  return {
    status: Number(/\d+/.exec(status)?.[0]),
    body: JSON.parse((await body.textContent()) ?? ""),
  };
}

/** Types into a field, and leaves it: the page waits a moment for more to be typed, unless the field is left. */
async function type(field: Locator, text: string): Promise<void> {
  await field.fill(text);
  await field.blur();
}

/** What the page has written into a field, a moment after it showed it. */
async function exampleIn(body: Locator): Promise<string> {
  for (;;) {
    const example = await body.inputValue();
    if (example !== "") return example;
    await Bun.sleep(10);
  }
}

/** Gives the page what it needs beyond the example: a file, or a URL that a test may reach. */
async function fillIn(request: Locator, name: string): Promise<void> {
  if (name === "post /vectorize-image-upload") {
    const buffer = Buffer.from(await makePng());
    const chosen = { name: "harbour at dusk.png", mimeType: "image/png", buffer };
    await request.locator('input[type="file"]').setInputFiles(chosen);
  } else if (name === "post /upload") {
    const field = request.locator('tr[data-property-name="imageUrl"] input');
    await type(field, origin.url("/picture.png"));
  } else if (name.startsWith("post ")) {
    const body = request.locator("textarea.body-param__text");
    const example = await exampleIn(body);
    if (!example.includes("https://")) return;
    await type(body, example.replace(/https:[^"]+/, origin.url("/picture.png")));
  }
}

/**
 * Fills in and executes, and again where the page then put its own example back: it does so once, a moment after
 * it has unfolded a request.
 */
async function tryOut(request: Locator, name: string): Promise<Outcome> {
  await fillIn(request, name);
  const outcome = await execute(request);
  const sent = (await request.locator(".curl-command").textContent()) ?? "";
  if (!sent.includes("https://")) return outcome;
  await fillIn(request, name);
  return await execute(request);
}

describe.if(chromium !== undefined)("/docs", () => {
  test("every documented request is tried from the page, with its example, and answers", async () => {
    await visitDocs("desktop", service.url, async (page) => {
      expect(documented.length).toBeGreaterThanOrEqual(9);
      await savePicture(page, "docs-page-desktop.png");
      for (const name of documented) {
        const request = await open(page, name);
        const { status } = await tryOut(request, name);
        // Where no API keys are configured it looks as if it were not there.
        expect([name, status]).toEqual([name, name === "get /embeddings/{sha256}" ? 404 : 200]);
        await request.locator(".opblock-summary-control").click();
      }
    });
  });
});

describe.if(chromium !== undefined).each(["desktop", "phone"] as const)("/docs, %s", (size) => {
  test("what is shown of an answer is the vector, and what was sent", async () => {
    await visitDocs(size, service.url, async (page) => {
      const request = await open(page, "post /vectorize-image-upload");
      await type(request.locator('[data-param-name="model"] input'), "clip-ViT-B-32");
      const { body } = await tryOut(request, "post /vectorize-image-upload");
      expect(body).toMatchObject({
        status: "success",
        original_filename: "harbour at dusk.png",
        model: "clip-ViT-B-32@synthetic",
      });
      expect(body["vector"]).toHaveLength(512);
      await request.locator(".responses-wrapper").scrollIntoViewIfNeeded();
      if (size === "desktop") await savePicture(page, "docs-answer-desktop.png");
    });
  });
});

describe.if(chromium !== undefined)("/docs where API keys are configured", () => {
  test("a key is given once, and goes with every request, also for a picture that is known", async () => {
    await visitDocs("desktop", keyedService.url, async (page) => {
      const request = await open(page, "post /vectorize-image-base64");
      await type(request.locator('[data-param-name="model"] input'), "clip-ViT-B-32");
      expect(await execute(request)).toMatchObject({ status: 401, body: { code: "unauthorized" } });
      await page.locator(".btn.authorize").first().click();
      await type(page.locator(".auth-container input"), apiKey.key);
      await page.locator(".auth-btn-wrapper .authorize").click();
      await page.locator(".btn-done").click();
      const made = await execute(request);
      expect(made).toMatchObject({ status: 200, body: { dimensions: 512 } });
      const [sha256] = String(made.body["saved_as"]).split(".");
      const look = await open(page, "get /embeddings/{sha256}");
      await type(look.locator('[data-param-name="sha256"] input'), sha256 ?? "");
      expect(await execute(look)).toMatchObject({
        status: 200,
        body: { sha256, vector: made.body["vector"] },
      });
    });
  });
});

test.if(chromium !== undefined)(
  "the examples of URLs work as they stand, wherever the web can be reached",
  async () => {
    await visitDocs("desktop", service.url, async (page) => {
      for (const name of ["post /upload", "post /vectorize-image"]) {
        const { status, body } = await execute(await open(page, name));
        // Nothing but the picture's own host may be the matter.
        if (status !== 200) expect(String(body["code"])).toMatch(/^origin-/);
      }
    });
  },
);

/** Where SCREENSHOTS is set, takes the pictures of the documentation anew. */
async function savePicture(page: Page, name: string): Promise<void> {
  if (!Bun.env["SCREENSHOTS"]) return;
  await page.screenshot({ path: join(repositoryRoot, "docs", name) });
}
