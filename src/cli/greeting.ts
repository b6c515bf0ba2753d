/** What a service says first to somebody who starts it on a terminal. */
import type { ImageBackend } from "../backends/backend.ts";

/** A model, as far as it is told of. */
type Model = Pick<ImageBackend, "exactId" | "state">;

/**
 * The address, the page, and what is needed next: a line that makes a vector, what models lack, where help is.
 *
 * @param url where it listens; an address of all interfaces is shown as `localhost`.
 */
export function greetingOf(url: URL, models: readonly Model[], hasKeys: boolean): string {
  const shown = new URL(url);
  if (/^(0\.0\.0\.0|\[::\])$/.test(url.hostname)) shown.hostname = "localhost";
  const [local] = models;
  const { origin } = shown;
  const model = (local?.exactId ?? "").split("@", 1)[0];
  const key = hasKeys ? ` -H "Authorization: Bearer $KEY"` : "";
  const lines = [
    ["See it", `${origin}/ in a browser; ${origin}/docs has every request`],
    [
      "Get a vector",
      `curl -F file=@photo.jpg${key} '${origin}/vectorize-image-upload?model=${model}'`,
    ],
    ...models.flatMap((one) => {
      const why = lackOf(one);
      return why === undefined ? [] : [[one.exactId, why]];
    }),
    ["Help", "imagesvc doctor finds what is wrong, --help has every setting; Ctrl-C stops it"],
  ];
  const width = Math.max(...lines.map(([name = ""]) => name.length)) + 2;
  const rows = lines.map(([name = "", text = ""]) => `  ${name.padEnd(width)}${text}`);
  return ["", `imagesvc listens at ${origin}/`, "", ...rows, ""].join("\n");
}

function lackOf({ exactId, state }: Model): string | undefined {
  const now = state();
  if (now.kind === "ready") return undefined;
  if (now.kind === "loading") return "is loading; a line below tells when it is ready";
  // Its name stands before it already.
  return now.why.startsWith(`${exactId} `) ? now.why.slice(exactId.length + 1) : now.why;
}
