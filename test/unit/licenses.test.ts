/** What is known about licences: of packages, and of the libraries inside them. */
import { describe, expect, test } from "bun:test";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import parseSpdx from "spdx-expression-parse";
import { readInventory, readPackage } from "../../src/release/inventory.ts";
import { librariesOfBun, librariesOfLibvips } from "../../src/release/linked-libraries.ts";
import { writeNotices } from "../../src/release/notices.ts";
import { hostPlatform, sourceRoot } from "../../src/release/platform.ts";
import { temporaryFolder } from "../support/tiny-clip.ts";

const components = await readInventory(sourceRoot, hostPlatform());

/** Reads a package that ships these files. */
async function read(manifest: object, files: Readonly<Record<string, string>> = {}) {
  await using folder = await temporaryFolder();
  const place = join(folder.path, "some");
  await mkdir(place);
  for (const [name, text] of Object.entries(files)) await Bun.write(join(place, name), text);
  await Bun.write(join(place, "package.json"), JSON.stringify(manifest));
  const locked = { name: "some", version: "1.0.0", integrity: "sha512-", folder: "some" };
  return await readPackage(locked, { arch: "x64", modules: folder.path });
}

describe("a package", () => {
  test.each([
    {},
    { license: "" },
    { license: "UNLICENSED" },
    { license: "SEE LICENSE IN eula.txt" },
  ])("without a known licence stops the build and is named: %j", async (manifest) => {
    await expect(read(manifest)).rejects.toThrow("some 1.0.0 names no licence");
  });

  test("brings all its texts about licences, and nothing else", async () => {
    const { texts } = await read(
      { license: "MIT" },
      {
        "LICENSE-MIT": "a",
        "licence.md": "b",
        NOTICE: "c",
        "x.js.LICENSE.txt": "d",
        "license.js": "",
      },
    );
    expect(texts.map(({ text }) => text).sort()).toEqual(["a", "b", "c", "d"]);
  });
});

describe("the libraries of a package without a list of its own", () => {
  const readme = "| Library | Used under the terms of |\n|---|---|\n| libvips | LGPLv3 |\n";

  test("get their versions under the names of either list", () => {
    const table = `${readme}| libultrahdr | MIT License |\n| [aom](https://a.example) | Own |\n`;
    expect(librariesOfLibvips(table, { vips: "8.1", uhdr: "2.0" })).toEqual([
      { name: "libvips", version: "8.1", license: "LGPL-3.0-or-later" },
      { name: "libultrahdr", version: "2.0", license: "MIT" },
      { name: "aom", license: "Own" },
    ]);
  });

  test("stop the build when their list has gone", () => {
    expect(() => librariesOfLibvips("# sharp", {})).toThrow("adapt linked-libraries.ts");
    expect(() => librariesOfBun(readme)).toThrow("adapt linked-libraries.ts");
  });
});

describe("the notices", () => {
  test("name every direct dependency and Bun, with versions and licences", async () => {
    const notices = await writeNotices(sourceRoot, components);
    const { dependencies } = await Bun.file(join(sourceRoot, "package.json")).json();
    for (const [name, version] of Object.entries({ ...dependencies, bun: Bun.version })) {
      expect(notices).toMatch(new RegExp(`^${name} ${version}: .+$`, "m"));
    }
  });

  test("name the libraries under the Lesser GPL, and how to replace them", async () => {
    const notices = await writeNotices(sourceRoot, components);
    for (const name of ["JavaScriptCore", "tinycc", "libvips", "glib", "pango", "librsvg"]) {
      expect(notices).toMatch(new RegExp(`^ {2}${name}.*: LGPL-[23]\\.[01]-or-later, in `, "m"));
    }
    expect(notices).toContain("set NATIVE_DIR");
    expect(notices).toContain("GNU LESSER GENERAL PUBLIC LICENSE\nVersion 3");
  });

  test("have a text for every licence of a package", async () => {
    const notices = await writeNotices(sourceRoot, components);
    for (const { license, texts } of components) {
      expect(() => parseSpdx(license)).not.toThrow();
      if (texts.length > 0) continue;
      for (const id of license.match(/[\w.-]+/g) ?? []) {
        if (!/^(AND|OR|WITH)$/.test(id)) expect(notices).toContain(`\n${id}: `);
      }
    }
  });

  test("name no path of this machine", async () => {
    expect(await writeNotices(sourceRoot, components)).not.toContain(sourceRoot);
  });
});
