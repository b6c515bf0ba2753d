/** A real browser, for what only a browser can show. */
import { type Browser, chromium, type Page } from "playwright-core";

/** Where Chromium is, if this host has one. */
export function findChromium(): string | undefined {
  const path = Bun.env["CHROMIUM_PATH"] || "/usr/bin/chromium";
  return Bun.which(path) ?? undefined;
}

/** Starts Chromium with a profile of its own, which goes with it. */
export function startChromium(executablePath: string): Promise<Browser> {
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
    ],
  });
}

/** What a page did behind the scenes. */
export interface PageRecord {
  /** Hosts that were asked for anything. */
  readonly hosts: ReadonlySet<string>;
  /** Errors on the console, uncaught exceptions and breaches of the page's own policy. */
  readonly errors: readonly string[];
}

/** Notes what the page does from now on. */
export function recordPage(page: Page): PageRecord {
  const hosts = new Set<string>();
  const errors: string[] = [];
  page.on("request", (request) => {
    const { protocol, host } = new URL(request.url());
    if (protocol !== "data:" && protocol !== "blob:") hosts.add(host);
  });
  page.on("console", (message) => {
    // Chromium reports a breach of the Content-Security-Policy as an error here too.
    if (message.type() === "error") errors.push(message.text());
  });
  page.on("pageerror", (error) => errors.push(error.message));
  return { hosts, errors };
}
