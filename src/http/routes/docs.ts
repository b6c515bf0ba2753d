/** `/docs` (Swagger UI, from our own files) and `/openapi.json`. */
import { Elysia } from "elysia";
import swaggerStyle from "swagger-ui-dist/swagger-ui.css" with { type: "file" };
import swaggerBundle from "swagger-ui-dist/swagger-ui-bundle.js" with { type: "file" };
import { createFixedBody } from "../content-coding.ts";

const page = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>imagesvc</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/docs/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
`;

const start = `SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  displayRequestDuration: true,
  tryItOutEnabled: true,
  validatorUrl: null,
});
`;

/** Swagger UI sets styles on its elements and draws its icons from data: URIs. */
const policy =
  "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; connect-src 'self'; base-uri 'none'; frame-ancestors 'none'";

/** @param openapi makes the document; called at the first request for it. */
export function docsRoutes(openapi: () => Promise<string>) {
  const coded = (read: () => Promise<Uint8Array<ArrayBuffer>>, own: Record<string, string>) => {
    const body = createFixedBody(read);
    return async ({ request }: { readonly request: Request }) => {
      const { bytes, headers } = await body(request);
      return new Response(bytes, { headers: { ...own, ...headers } });
    };
  };
  const text = (body: string, type: string) => () =>
    new Response(body, { headers: { "content-type": type, "content-security-policy": policy } });
  const file = (path: string, type: string) =>
    coded(() => Bun.file(path).bytes(), {
      "content-type": type,
      "cache-control": "public, max-age=3600",
    });
  const document = async () => new TextEncoder().encode(await openapi());
  const javascript = "text/javascript; charset=utf-8";
  const hidden = { detail: { hide: true } };
  return new Elysia({ normalize: false })
    .get("/", ({ redirect }) => redirect("/docs"), hidden)
    .get("/docs", text(page, "text/html; charset=utf-8"), hidden)
    .get("/docs/start.js", text(start, javascript), hidden)
    .get("/docs/swagger-ui-bundle.js", file(swaggerBundle, javascript), hidden)
    .get("/docs/swagger-ui.css", file(swaggerStyle, "text/css; charset=utf-8"), hidden)
    .get("/openapi.json", coded(document, { "content-type": "application/json" }), hidden);
}
