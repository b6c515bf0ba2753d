/** A page that shows the matches of a search: one file, without scripts and without anything from elsewhere. */
import { pathToFileURL } from "node:url";

/** A match, and what is shown of it. */
export interface ShownMatch {
  readonly path: string;
  readonly cosine: number;
  /** Absent where the picture cannot be shown any more. */
  readonly thumbnail: { readonly image: Uint8Array; readonly mime: string } | undefined;
}

interface Sheet {
  readonly text: string;
  readonly folder: string;
  /** Best first. */
  readonly matches: readonly ShownMatch[];
  /** What else must be said; absent where there is nothing. */
  readonly note?: string | undefined;
}

/** @returns the page, as HTML. */
export function contactSheet({ text, folder, matches, note }: Sheet): string {
  const title = Bun.escapeHTML(text);
  const figures = matches.map(figure).join("\n");
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width">
<title>${title}</title>
<style>
  :root { color-scheme: light dark; font: 16px/1.4 system-ui, sans-serif; }
  body { margin: 1rem; }
  main { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(16rem, 1fr)); }
  figure { margin: 0; overflow-wrap: anywhere; }
  img, .lost { width: 100%; aspect-ratio: 4 / 3; object-fit: contain; background: #8882; }
  .lost { display: grid; place-items: center; }
</style>
<h1>${title}</h1>
<p>The best ${matches.length} of ${Bun.escapeHTML(folder)}.${note === undefined ? "" : ` ${Bun.escapeHTML(note)}`}</p>
<main>
${figures}
</main>
</html>
`;
}

function figure({ path, cosine, thumbnail }: ShownMatch): string {
  const name = Bun.escapeHTML(path);
  const shown =
    thumbnail === undefined
      ? `<span class="lost">This picture cannot be shown</span>`
      : `<img alt="${name}" src="data:${thumbnail.mime};base64,${thumbnail.image.toBase64()}">`;
  const link = Bun.escapeHTML(pathToFileURL(path).href);
  return `<figure><a href="${link}">${shown}</a><figcaption>${cosine.toFixed(4)} ${name}</figcaption></figure>`;
}
