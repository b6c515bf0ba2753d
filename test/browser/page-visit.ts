/** The page as somebody opens it in Chromium, and what is done on it again and again. */
import { expect } from "bun:test";
import type { Browser, Locator, Page } from "playwright-core";
import { type PageRecord, recordPage, screens } from "./chromium.ts";

/** How the page is opened. */
export interface Visit {
  readonly size?: keyof typeof screens;
  readonly scheme?: "light" | "dark";
  readonly at: URL;
  /** Runs before the page is loaded. */
  readonly before?: (page: Page) => Promise<void>;
  /** Errors on the console that belong to the flow: Chromium writes one for every answer of 400 and more. */
  readonly expectsErrors?: boolean;
}

/** What somebody does on it. */
export type Flow = (page: Page, record: PageRecord) => Promise<void>;

/** Opens the page, and afterwards asks for what holds in every flow. */
export async function visitPage(
  browser: Browser,
  { size = "desktop", scheme = "light", at, before, ...options }: Visit,
  flow: Flow,
): Promise<void> {
  const context = await browser.newContext({ ...screens[size], colorScheme: scheme });
  try {
    const page = await context.newPage();
    const record = recordPage(page);
    await before?.(page);
    await page.goto(at.href);
    await page.locator(".models li").first().waitFor();
    await flow(page, record);
    expect([...record.hosts]).toEqual([at.host]);
    const errors = record.errors.filter(
      (error) => !options.expectsErrors || !error.startsWith("Failed to load resource"),
    );
    expect(errors).toEqual([]);
    expect(await page.evaluate("document.documentElement.scrollWidth - innerWidth")).toBe(0);
  } finally {
    await context.close();
  }
}

/** A picture as it is chosen. */
export const file = (bytes: Uint8Array, name = "harbour at dusk.jpg", mimeType = "image/jpeg") => ({
  name,
  mimeType,
  buffer: Buffer.from(bytes),
});

/** The field behind the button that is shown. */
export const chooser = (page: Page) => page.locator('input[type="file"]:visible').first();
/** What one model made of it. */
export const card = (page: Page, model: string) =>
  page.getByRole("region", { name: model, exact: true });
/** The field for a URL of the view that is shown. */
export const urlField = (page: Page) => page.getByLabel("or its URL").filter({ visible: true });
/** The time that the request took. */
export const stages = (page: Page) => page.getByRole("region", { name: "Time by stage" });
/** The heat map of a card. */
export const heatMap = (part: Locator) => part.getByRole("slider");

/** Goes to the other view. */
export async function openBoard(page: Page): Promise<void> {
  await page.getByRole("link", { name: "Compare", exact: true }).click();
  await page.getByLabel("or a text").waitFor();
}

/** Columns and rows of a heat map. */
export async function shapeOf(cells: Locator): Promise<readonly number[]> {
  const canvas = cells.locator("canvas");
  return [Number(await canvas.getAttribute("width")), Number(await canvas.getAttribute("height"))];
}

/** Waits until a part says just this. */
export async function expectText(part: Locator, text: string): Promise<void> {
  await part.filter({ hasText: text }).waitFor();
  expect(await part.textContent()).toBe(text);
}

/** Waits until there are just so many. */
export async function expectCount(part: Locator, count: number): Promise<void> {
  await part.nth(count).waitFor({ state: "detached" });
  expect(await part.count()).toBe(count);
}

/** Presses Tab until the element whose name begins so has the focus. */
export async function tabTo(page: Page, name: string): Promise<void> {
  for (let presses = 0; presses < 60; presses++) {
    await page.keyboard.press("Tab");
    const focused = String(
      await page.evaluate(
        "(({ ariaLabel, labels, textContent }) => ariaLabel ?? labels?.[0]?.textContent ?? textContent)(document.activeElement)",
      ),
    );
    if (focused.startsWith(name)) return;
  }
  throw new Error(`no Tab leads to ${name}`);
}

/** Drops or pastes a file or a text, as another window would. */
export async function bring(
  page: Page,
  kind: "drop" | "paste",
  what: { readonly name: string; readonly base64: string } | { readonly text: string },
): Promise<void> {
  await page.evaluate(`(async () => {
    const what = ${JSON.stringify(what)};
    const data = new DataTransfer();
    if ("text" in what) data.setData("text/plain", what.text);
    else {
      const bytes = Uint8Array.from(atob(what.base64), (character) => character.charCodeAt(0));
      data.items.add(new File([bytes], what.name, { type: "image/jpeg" }));
    }
    const options = { bubbles: true, cancelable: true };
    document.body.dispatchEvent(${
      kind === "drop"
        ? "new DragEvent('drop', { ...options, dataTransfer: data })"
        : "new ClipboardEvent('paste', { ...options, clipboardData: data })"
    });
  })()`);
}

/** What the clipboard holds, as a field gets it. */
export async function pasted(page: Page): Promise<string> {
  await page.evaluate(
    `document.body.append(Object.assign(document.createElement("textarea"), { id: "clip" }))`,
  );
  await page.locator("#clip").focus();
  await page.keyboard.press("Control+V");
  const text = await page.locator("#clip").inputValue();
  await page.evaluate(`document.querySelector("#clip").remove()`);
  return text;
}
