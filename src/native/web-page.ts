/** The page's script and style: inside the executable, or bundled from source when they are first asked for. */
import { fileURLToPath } from "node:url";
import { gunzipSync, gzipSync } from "node:zlib";
import { embedded } from "./embedded.ts";

/** A file of the page. */
export interface WebPageFile {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** The same, compressed. */
  readonly gzip: Uint8Array<ArrayBuffer>;
}

/** What the page loads. */
export interface WebPage {
  readonly script: WebPageFile;
  readonly style: WebPageFile;
}

const page = fileURLToPath(new URL("../web/page", import.meta.url));

/** Reads the page's files; from source this bundles them, which takes some 100 ms of another thread. */
export async function readWebPage(): Promise<WebPage> {
  if (embedded === undefined) return await bundleWebPage(page);
  const { script, style } = embedded.webPage;
  return { script: await unpack(script), style: await unpack(style) };
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
  return { script: await pack(script), style: await pack(style) };
}

async function pack(output: Blob): Promise<WebPageFile> {
  const bytes = new Uint8Array(await output.arrayBuffer());
  return { bytes, gzip: new Uint8Array(gzipSync(bytes, { level: 9 })) };
}

async function unpack(path: string): Promise<WebPageFile> {
  const gzip = new Uint8Array(await Bun.file(path).arrayBuffer());
  return { gzip, bytes: new Uint8Array(gunzipSync(gzip)) };
}
