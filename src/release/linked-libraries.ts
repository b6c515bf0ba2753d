/** Libraries that have no package of their own: they are linked into Bun, onnxruntime or libvips. */
import type { Arch } from "./platform.ts";

/** A library inside another. */
export interface LinkedLibrary {
  readonly name: string;
  readonly version?: string;
  /** An SPDX expression, or the words of whoever linked it where they say no more. */
  readonly license: string;
}

/**
 * Reads the libraries of libvips.
 *
 * @param readme README.md of `@img/sharp-libvips-*`, with a table of names and licences.
 * @param versions its `versions.json`, which writes some of the names shorter.
 * @throws Error if libvips is not among them.
 */
export function librariesOfLibvips(
  readme: string,
  versions: Readonly<Record<string, unknown>>,
): LinkedLibrary[] {
  return tableRows(readme, "libvips").map(({ name, license }) => {
    const short = name === "libultrahdr" ? "uhdr" : name.replace(/^lib/, "");
    const version = versions[name] ?? versions[short];
    return typeof version === "string" ? { name, version, license } : { name, license };
  });
}

/**
 * Reads the libraries of Bun.
 *
 * @param page `docs/project/license.mdx` of `bun-types`, which names JavaScriptCore in its prose alone.
 * @throws Error if the page no longer says what is known of it.
 */
export function librariesOfBun(page: string): LinkedLibrary[] {
  if (!/JavaScriptCore \(and WebKit\), which is LGPL-2 licensed/.test(page)) {
    throw new Error("the page of Bun's licences has changed: adapt linked-libraries.ts");
  }
  const rows = tableRows(page, "tinycc").filter(({ name }) => !name.endsWith("(on Windows)"));
  return [{ name: "JavaScriptCore (of WebKit)", license: "LGPL-2.0-or-later" }, ...rows];
}

/**
 * The libraries of onnxruntime, whose package names none: those of which its library shows traces.
 *
 * @see https://github.com/microsoft/onnxruntime/blob/v1.30.0/ThirdPartyNotices.txt
 */
export function librariesOfOnnxruntime(arch: Arch): LinkedLibrary[] {
  return [
    { name: "abseil-cpp", license: "Apache-2.0" },
    { name: "Boost.Mp11", license: "BSL-1.0" },
    { name: "cpp_client_telemetry", license: "Apache-2.0" },
    { name: "cpuinfo", license: "BSD-2-Clause" },
    { name: "curl", license: "curl" },
    ...(arch === "x64" ? [{ name: "Dawn", license: "BSD-3-Clause" }] : []),
    { name: "Eigen", license: "MPL-2.0" },
    { name: "FlatBuffers", license: "Apache-2.0" },
    { name: "GSL", license: "MIT" },
    ...(arch === "arm64" ? [{ name: "KleidiAI", license: "Apache-2.0" }] : []),
    { name: "Mbed TLS", license: "Apache-2.0 OR GPL-2.0-or-later" },
    { name: "nlohmann/json", license: "MIT" },
    { name: "ONNX", license: "Apache-2.0" },
    { name: "Protocol Buffers", license: "BSD-3-Clause" },
    { name: "RE2", license: "BSD-3-Clause" },
    { name: "SafeInt", license: "MIT" },
    { name: "SQLite", license: "blessing" },
    { name: "zlib", license: "Zlib" },
  ];
}

/** The rows of all Markdown tables of two columns; one of them must be there, or they are read wrongly. */
function tableRows(markdown: string, expected: string): LinkedLibrary[] {
  const rows = [...markdown.matchAll(/^\|([^|\n]+)\|([^|\n]+)\|$/gm)]
    .map(([, name = "", license = ""]) => ({ name: plain(name), license: spdx(plain(license)) }))
    .filter(({ name }) => !/^(-+|Library|Package)$/.test(name));
  if (!rows.some(({ name }) => name === expected)) {
    throw new Error(
      `the table of licences with ${expected} has changed: adapt linked-libraries.ts`,
    );
  }
  return rows;
}

/** Text without Markdown's marks and the targets of its links. */
function plain(markdown: string): string {
  return markdown
    .replaceAll(/\[([^\]]*)\]\([^)]*\)/g, "$1")
    .replaceAll("`", "")
    .trim();
}

/** Words for licences, as SPDX calls these; other words stay as they are. */
function spdx(words: string): string {
  return spdxOfWords.get(words) ?? words;
}

const spdxOfWords: ReadonlyMap<string, string> = new Map([
  ["Apache 2.0", "Apache-2.0"],
  ["Apache 2.0 licensed", "Apache-2.0"],
  ["BSD 2-Clause", "BSD-2-Clause"],
  [
    "BSD 2-Clause + Alliance for Open Media Patent License 1.0",
    "BSD-2-Clause AND LicenseRef-AOMPL-1.0",
  ],
  ["BSD 3-Clause", "BSD-3-Clause"],
  ["BSD 3-Clause / IJG / zlib", "BSD-3-Clause AND IJG AND Zlib"],
  ["New BSD License", "BSD-3-Clause"],
  ["dual-licensed under CC0 1.0 or the BSD 2-Clause License", "CC0-1.0 OR BSD-2-Clause"],
  ["dual-licensed under the BSD License or GPLv2 license", "BSD-3-Clause OR GPL-2.0-only"],
  ["dual-licensed under the Perl License or the MIT License", "Artistic-1.0-Perl OR MIT"],
  ["freetype License (BSD-like)", "FTL"],
  ["ICU license", "Unicode-3.0"],
  // The notice beside the table says: by the "any later version" clause.
  ["LGPLv3", "LGPL-3.0-or-later"],
  ["LGPL v2.1", "LGPL-2.1-or-later"],
  ["libpng License", "libpng-2.0"],
  ["libtiff License (BSD-like)", "libtiff"],
  ["MIT License", "MIT"],
  ["MIT licensed", "MIT"],
  ["Mozilla Public License 1.1", "MPL-1.1"],
  ["public domain", "blessing"],
  ["zlib", "Zlib"],
  ["zlib License", "Zlib"],
  ["zlib License, IJG License, BSD 3-Clause", "BSD-3-Clause AND IJG AND Zlib"],
]);
