/** `/problems/*`: the pages that an error answer's `type` points to. */
import { Elysia } from "elysia";
import { isProblemCode, Problem, problems } from "../../errors.ts";

export function problemRoutes() {
  return new Elysia({ normalize: false })
    .get("/problems", () => page("Problems", index()), { detail: { hide: true } })
    .get(
      "/problems/:code",
      ({ params }) => {
        const { code } = params;
        if (!isProblemCode(code))
          throw new Problem("not-found", "There is no such problem: see /problems.");
        const { status, title, explanation } = problems[code];
        return page(
          title,
          `<p>HTTP ${status}, <code>${code}</code></p><p>${Bun.escapeHTML(explanation)}</p><p><a href="/problems">All problems</a></p>`,
        );
      },
      { detail: { hide: true } },
    );
}

function index(): string {
  const rows = Object.entries(problems).map(
    ([code, { status, title }]) =>
      `<tr><td>${status}</td><td><a href="/problems/${code}">${code}</a></td><td>${Bun.escapeHTML(title)}</td></tr>`,
  );
  return `<table>${rows.join("")}</table>`;
}

function page(title: string, body: string): Response {
  const html = `<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>${Bun.escapeHTML(title)}</title>
<style>body{font:1rem/1.5 system-ui;max-width:48rem;margin:2rem auto;padding:0 1rem}td{padding:.1rem 1rem .1rem 0}</style>
<h1>${Bun.escapeHTML(title)}</h1>${body}</html>
`;
  return new Response(html, {
    headers: {
      "content-type": "text/html; charset=utf-8",
      "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'",
    },
  });
}
