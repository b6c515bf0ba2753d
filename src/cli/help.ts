/** The text of `--help`, made from the table of settings. */
import { flagOf, settings } from "../config.ts";
import { flagSettings } from "./arguments.ts";

/** What `--help` prints. */
export function helpText(): string {
  return `imagesvc: image embeddings over HTTP

Usage:
  imagesvc [serve] [flags]   start the service
  imagesvc openapi           print the OpenAPI document
  imagesvc --version         print the version
  imagesvc --help            print this

Flags of serve, each also a variable of the environment (--max-pixels is MAX_PIXELS):
${flagSettings.map(flagHelp).join("\n")}

Only in the environment:
  NVIDIA_API_KEY
      ${plain(settings.NVIDIA_API_KEY.doc)}
`;
}

function flagHelp(name: (typeof flagSettings)[number]): string {
  const { doc, shownDefault } = settings[name];
  return `  ${flagOf(name)} <value>\n      ${plain(doc)} Default: ${plain(shownDefault)}.`;
}

/** The tables are written in Markdown. */
function plain(markdown: string): string {
  return markdown.replaceAll("`", "");
}
