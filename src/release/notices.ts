/** The third-party notices: what is inside, under which licence, and the licences' texts. */
import { join } from "node:path";
import type { Component } from "./inventory.ts";
import type { LinkedLibrary } from "./linked-libraries.ts";

/** What is to be said about libraries under the Lesser GPL: how somebody puts in their own. */
const LGPL = `LIBRARIES UNDER THE GNU LESSER GENERAL PUBLIC LICENSE

libvips-cpp is a shared library, loaded when the program runs. To use one of your own, put it under the
same file name into a folder and set NATIVE_DIR to that folder: it takes the place of the one inside.
Its sources and build: https://github.com/lovell/sharp-libvips

The others are linked into Bun. To use your own, build Bun with them as its page below says, and build
imagesvc with that Bun: \`bun run build\`. Their sources: https://github.com/oven-sh/bun,
https://github.com/oven-sh/WebKit and https://github.com/oven-sh/tinycc
`;

/**
 * Writes the notices.
 *
 * @param root absolute path of the repository, for its own licence and for the texts of SPDX's licences.
 * @throws Error if a text cannot be read.
 */
export async function writeNotices(
  root: string,
  components: readonly Component[],
): Promise<string> {
  const own = await Bun.file(join(root, "LICENSE")).text();
  const index = components.map(({ name, version, license, texts }) => {
    const withoutText = texts.length === 0 ? " (ships no text; see the end)" : "";
    return `${name} ${version}: ${license}${withoutText}`;
  });
  const sections = [
    `THIRD-PARTY NOTICES\n\nimagesvc is under this licence:\n\n${own.trim()}`,
    `It is made from these packages, some of which bring only types:\n\n${index.join("\n")}`,
    `${LGPL}\n${lesserGeneral(components).join("\n")}`,
    ...components.map(describe),
    ...(await standardTexts(root, components)),
  ];
  return `${sections.join(`\n\n${"=".repeat(78)}\n\n`)}\n`;
}

function lesserGeneral(components: readonly Component[]): string[] {
  return components.flatMap(({ name, libraries }) =>
    libraries
      .filter(({ license }) => license.includes("LGPL"))
      .map((library) => `${line(library)}, in ${name}`),
  );
}

function describe({ name, version, license, texts, libraries }: Component): string {
  const inside = libraries.length === 0 ? [] : [`Contains:\n${libraries.map(line).join("\n")}`];
  const said = texts.map(({ name: file, text }) => `${file}:\n\n${text.trim()}`);
  return [`${name} ${version}\nLicence: ${license}`, ...inside, ...said].join("\n\n");
}

function line({ name, version, license }: LinkedLibrary): string {
  return `  ${name}${version === undefined ? "" : ` ${version}`}: ${license}`;
}

/** The texts of the licences that are named by what ships none, each once. */
async function standardTexts(root: string, components: readonly Component[]): Promise<string[]> {
  const named = components.flatMap(({ license, texts, libraries }) => [
    ...(texts.length === 0 ? [license] : []),
    ...libraries.map((library) => library.license),
  ]);
  // The Lesser GPL is a supplement to the GPL.
  const ids = new Set(["GPL-3.0-only", ...named.flatMap((words) => words.split(/[\s()]+/))]);
  const texts = [...ids].sort().map(async (id) => {
    const file = Bun.file(join(root, `node_modules/spdx-license-list/licenses/${id}.json`));
    if (!(await file.exists())) return [];
    const { name, licenseText } = await file.json();
    return [`${id}: ${name}\n\n${String(licenseText).trim()}`];
  });
  return (await Promise.all(texts)).flat();
}
