import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import type { Locator, Page } from "playwright-core";
import { leftOut } from "../support/left-out.ts";
import { makePng } from "../support/pictures.ts";
import { startService } from "../support/service.ts";
import { repositoryRoot } from "../support/source-files.ts";
import { findChromium, type PageRecord, recordPage, startChromium } from "./chromium.ts";

const sizes = {
  desktop: { viewport: { width: 1280, height: 800 } },
  phone: { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true },
} as const;

describe.each(["desktop", "phone"] as const)("/docs in Chromium, %s", (size) => {
  test("shows every request, asks no other host, breaks no policy and fits the screen", async () => {
    await visitDocs(size, async (page, { hosts, errors }) => {
      for (const path of [
        "/upload",
        "/vectorize-image",
        "/vectorize-image-base64",
        "/vectorize-image-upload",
        "/embed-text",
        "/similarity",
      ]) {
        await operation(page, path).waitFor();
      }
      await savePicture(page, `docs-page-${size}.png`);
      expect([...hosts]).toEqual([new URL(page.url()).host]);
      expect(errors).toEqual([]);
      expect(await page.evaluate("document.documentElement.scrollWidth - innerWidth")).toBe(0);
    });
  });

  test("sends the base64 example as it stands and shows a vector", async () => {
    await visitDocs(size, async (page, { errors }) => {
      const request = await open(page, "/vectorize-image-base64");
      const answer = await execute(request);
      expect(answer).toMatchObject({ status: "success", original_filename: "image.png" });
      expect(answer.model).toBe("clip-ViT-B-32@synthetic");
      expect(answer.vector).toHaveLength(512);
      expect(errors).toEqual([]);
      await request.locator(".responses-wrapper").scrollIntoViewIfNeeded();
      await savePicture(page, `docs-answer-${size}.png`);
    });
  });

  test("sends the examples with texts as they stand and shows what they give", async () => {
    await visitDocs(size, async (page, { errors }) => {
      const vector = await execute(await open(page, "/embed-text"));
      expect(vector).toMatchObject({ status: "success", truncated: false });
      const comparison = await execute(await open(page, "/similarity"));
      expect(comparison).toMatchObject({ status: "success", model: "clip-ViT-B-32@synthetic" });
      expect(errors).toEqual([]);
    });
  });

  test("uploads a file that is chosen and shows a vector", async () => {
    await visitDocs(size, async (page, { errors }) => {
      const request = await open(page, "/vectorize-image-upload");
      const buffer = Buffer.from(await makePng());
      const chosen = { name: "harbour at dusk.png", mimeType: "image/png", buffer };
      await request.locator('input[type="file"]').setInputFiles(chosen);
      const answer = await execute(request);
      expect(answer).toMatchObject({ status: "success", original_filename: chosen.name });
      expect(answer.vector).toHaveLength(512);
      expect(errors).toEqual([]);
    });
  });
});

/** Opens the page as somebody who follows the service's address; says so where there is no Chromium. */
async function visitDocs(
  size: keyof typeof sizes,
  visit: (page: Page, record: PageRecord) => Promise<void>,
): Promise<void> {
  const chromium = findChromium();
  if (chromium === undefined) {
    leftOut("/docs in a browser: no Chromium; install it or set CHROMIUM_PATH");
    return;
  }
  await using service = await startService();
  await using browser = await startChromium(chromium);
  const page = await browser.newPage(sizes[size]);
  const record = recordPage(page);
  await page.goto(service.url.href);
  expect(new URL(page.url()).pathname).toBe("/docs");
  await visit(page, record);
}

function operation(page: Page, path: string): Locator {
  return page.locator(".opblock", { has: page.locator(`[data-path="${path}"]`) });
}

/** Unfolds a request and asks for the model that runs here. */
async function open(page: Page, path: string): Promise<Locator> {
  const request = operation(page, path);
  await request.locator(".opblock-summary-control").click();
  await request.locator('[data-param-name="model"] input').fill("clip-ViT-B-32");
  return request;
}

/** Presses Execute and returns the answer as the page shows it. */
async function execute(request: Locator) {
  await request.getByRole("button", { name: "Execute" }).click();
  const shown = request.locator(".live-responses-table tbody .response");
  await shown.waitFor();
  expect(await shown.locator(".response-col_status").textContent()).toMatch(/^\s*200\b/);
  const body = shown.locator(".response-col_description pre").first();
  return JSON.parse((await body.textContent()) ?? "");
}

/** Where SCREENSHOTS is set, takes the pictures of the documentation anew. */
async function savePicture(page: Page, name: string): Promise<void> {
  if (!Bun.env["SCREENSHOTS"]) return;
  await page.screenshot({ path: join(repositoryRoot, "docs", name) });
}
