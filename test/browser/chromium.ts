/** A real browser, for what only a browser can show. */
import axe from "axe-core";
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";

/** Where Chromium is, if this host has one. */
export function findChromium(): string | undefined {
  const path = Bun.env["CHROMIUM_PATH"] || "/usr/bin/chromium";
  return Bun.which(path) ?? undefined;
}

/**
 * Starts Chromium with a profile of its own, which goes with it.
 *
 * @param hosts names that lead to this machine, so that a page can be one of plain HTTP and no localhost.
 */
export function startChromium(
  executablePath: string,
  hosts: readonly string[] = [],
): Promise<Browser> {
  return chromium.launch({
    executablePath,
    headless: true,
    args: [
      // Its sandbox does not work for root, as in most containers.
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      // A test must see the page's own requests, and nothing may leave this host.
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
      `--host-resolver-rules=${hosts.map((host) => `MAP ${host} 127.0.0.1`).join(",")}`,
    ],
  });
}

/** What a page did behind the scenes. */
export interface PageRecord {
  /** Hosts that were asked for anything. */
  readonly hosts: ReadonlySet<string>;
  /** URLs that were asked for. */
  readonly requests: readonly string[];
  /** Errors on the console, uncaught exceptions and breaches of the page's own policy. */
  readonly errors: readonly string[];
}

/** The screens that pages are tried on. */
export const screens = {
  desktop: { viewport: { width: 1280, height: 800 } },
  phone: { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true },
} as const satisfies Record<string, BrowserContextOptions>;

/**
 * Asks axe what keeps people from using the page: its rules for WCAG 2.2 A and AA, and its best practices.
 *
 * @returns each breach as a line, with the element.
 */
export async function findAccessBreaches(page: Page): Promise<readonly string[]> {
  // Through the developer tools, for which the page's own policy does not hold.
  await page.evaluate(axe.source);
  const found: readonly AxeViolation[] = await page.evaluate(
    "axe.run(document).then(({ violations }) => violations)",
  );
  return found.flatMap(({ id, nodes }) => nodes.map(({ html }) => `${id}: ${html}`));
}

interface AxeViolation {
  readonly id: string;
  readonly nodes: readonly { readonly html: string }[];
}

/** Notes what the page does from now on. */
export function recordPage(page: Page): PageRecord {
  const hosts = new Set<string>();
  const errors: string[] = [];
  const requests: string[] = [];
  page.on("request", (request) => {
    const { protocol, host } = new URL(request.url());
    if (protocol === "data:" || protocol === "blob:") return;
    hosts.add(host);
    requests.push(request.url());
  });
  page.on("console", (message) => {
    // Chromium reports a breach of the Content-Security-Policy as an error here too.
    if (message.type() === "error") errors.push(message.text());
  });
  page.on("pageerror", (error) => errors.push(error.message));
  return { hosts, requests, errors };
}
