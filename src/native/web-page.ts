/** The page's script and style: inside the executable, or bundled from source when they are first asked for. */
import { fileURLToPath } from "node:url";
import { embedded } from "./embedded.ts";

/** What the page loads. */
export interface WebPage {
  readonly script: Uint8Array<ArrayBuffer>;
  readonly style: Uint8Array<ArrayBuffer>;
}

const page = fileURLToPath(new URL("../web/page", import.meta.url));

/** Reads the page's files; from source this bundles them, which takes some 100 ms of another thread. */
export async function readWebPage(): Promise<WebPage> {
  if (embedded === undefined) return await bundleWebPage(page);
  const { script, style } = embedded.webPage;
  return { script: await Bun.file(script).bytes(), style: await Bun.file(style).bytes() };
}

/**
 * Bundles the page for browsers.
 *
 * @param folder of its source, absolute.
 * @throws AggregateError naming what is wrong with it.
 */
export async function bundleWebPage(folder: string): Promise<WebPage> {
  const { outputs } = await Bun.build({
    entrypoints: [`${folder}/main.tsx`, `${folder}/page.css`],
    target: "browser",
    minify: true,
    // React's production build.
    define: { "process.env.NODE_ENV": '"production"' },
  });
  const [script, style] = outputs;
  if (script === undefined || style === undefined) throw new Error("the page is two files");
  return { script: await bytesOf(script), style: await bytesOf(style) };
}

async function bytesOf(output: Blob): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(await output.arrayBuffer());
}
