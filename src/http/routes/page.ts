/** `/`: the page, from our own files. */
import { Elysia } from "elysia";
import { readWebPage } from "../../native/web-page.ts";
import { fileAnswer } from "../file-answer.ts";

const html = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>imagesvc</title>
<link rel="icon" href="/page/icon.svg">
<link rel="stylesheet" href="/page/page.css">
<script type="module" src="/page/page.js"></script>
</head>
<body>
<div id="page"></div>
<noscript>This page needs JavaScript. Everything that it does can be done with curl: <a href="/docs">see the requests</a>.</noscript>
</body>
</html>
`;

/** Nine components of a vector. */
const icon = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 3 3" shape-rendering="crispEdges"><path fill="#2f6fde" d="M0 0h1v1H0zM2 1h1v1H2zM1 2h1v1H1z"/><path fill="#e0662a" d="M1 0h1v1H1zM0 2h1v1H0z"/><path fill="#9db7ea" d="M2 0h1v1H2zM0 1h1v1H0z"/><path fill="#f0b391" d="M1 1h1v1H1zM2 2h1v1H2z"/></svg>
`;

/** Everything is ours; pictures are what was chosen (blob:) or what an answer carries (data:). */
const policy =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/** @param readPage reads the page's script and style; called at the first request for one of them. */
export function pageRoutes(readPage = readWebPage) {
  const text = (body: string) => async () => new TextEncoder().encode(body);
  const start = fileAnswer({ read: text(html), type: "text/html; charset=utf-8", policy });
  const drawing = fileAnswer({ read: text(icon), type: "image/svg+xml" });
  const files = once(async () => {
    const { script, style } = await readPage();
    const served = (bytes: typeof script, type: string) =>
      fileAnswer({ read: async () => bytes, type: `text/${type}; charset=utf-8` });
    return { script: served(script, "javascript"), style: served(style, "css") };
  });
  const hidden = { detail: { hide: true } };
  return new Elysia({ normalize: false })
    .get("/", ({ request }) => start(request), hidden)
    .get("/page/page.js", async ({ request }) => (await files()).script(request), hidden)
    .get("/page/page.css", async ({ request }) => (await files()).style(request), hidden)
    .get("/page/icon.svg", ({ request }) => drawing(request), hidden);
}

/** Calls at the first need, and again only after it failed. */
function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => {
    made ??= make().catch((error) => {
      made = undefined;
      throw error;
    });
    return made;
  };
}
