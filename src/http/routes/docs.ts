/** `/docs` (Swagger UI, from our own files) and `/openapi.json`. */
import { Elysia } from "elysia";
import swaggerStyle from "swagger-ui-dist/swagger-ui.css" with { type: "file" };
import swaggerBundle from "swagger-ui-dist/swagger-ui-bundle.js" with { type: "file" };
import { fileAnswer } from "../file-answer.ts";

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
  "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/** @param openapi makes the document; called at the first request for it. */
export function docsRoutes(openapi: () => Promise<string>) {
  const served = (...file: Parameters<typeof fileAnswer>) => {
    const answer = fileAnswer(...file);
    return ({ request }: { readonly request: Request }) => answer(request);
  };
  const text = (body: string, type: string) =>
    served({ read: async () => new TextEncoder().encode(body), type, policy });
  const file = (path: string, type: string) => served({ read: () => Bun.file(path).bytes(), type });
  const document = async () => new TextEncoder().encode(await openapi());
  const javascript = "text/javascript; charset=utf-8";
  const hidden = { detail: { hide: true } };
  return new Elysia({ normalize: false })
    .get("/docs", text(page, "text/html; charset=utf-8"), hidden)
    .get("/docs/start.js", text(start, javascript), hidden)
    .get("/docs/swagger-ui-bundle.js", file(swaggerBundle, javascript), hidden)
    .get("/docs/swagger-ui.css", file(swaggerStyle, "text/css; charset=utf-8"), hidden)
    .get("/openapi.json", served({ read: document, type: "application/json" }), hidden);
}
