import { describe, expect, test } from "bun:test";
import { findBreaches, findStrayNames } from "./support/architecture-rules.ts";
import { readSourceFiles, topLevelNames } from "./support/source-files.ts";

describe("the house is in order", () => {
  test("every file keeps to the rules of its layer", async () => {
    const files = await readSourceFiles(["src", "workers", "test/support"]);
    expect(files.length).toBeGreaterThan(0);
    expect(findBreaches(files)).toEqual([]);
  });

  test("only known names lie at the top of the repository", () => {
    expect(findStrayNames(topLevelNames())).toEqual([]);
  });
});

/** A small house in order. Each case below adds a line to it, or a file, that breaks one rule. */
const soundHouse: Readonly<Record<string, string>> = {
  "src/main.ts": `import { compose } from "./compose.ts";\nprocess.env["PORT"];`,
  "src/compose.ts": `import { Elysia } from "elysia";\nexport { app } from "./http/app.ts";\nexport { serve } from "./cli/serve.ts";`,
  "src/http/app.ts": `import { cors } from "@elysiajs/cors";\nimport { embed } from "../core/embed.ts";\nimport "./problem.ts";`,
  "src/http/problem.ts": "",
  "src/cli/serve.ts": `import { embed } from "../core/embed.ts";`,
  "src/core/embed.ts": `import type { Pool } from "../backends/pool.ts";\nimport "./inspect.ts";`,
  "src/core/inspect.ts": "",
  "src/backends/pool.ts": `import type { Task } from "./protocol.ts";\nexport const worker = new URL("../../workers/inference.ts", import.meta.url);`,
  "src/backends/protocol.ts": `import { Problem } from "../errors.ts";`,
  "src/backends/clock.ts": `import "../net/url.ts";`,
  "src/image/digest.ts": `import { createHash } from "node:crypto";\nimport { limits } from "../limits.ts";`,
  "src/net/url.ts": "",
  "src/errors.ts": "",
  "src/limits.ts": "",
  "src/native/build.ts": `import "../backends/clock.ts";`,
  "workers/pool-worker.ts": `import "../node_modules/piscina/dist/worker.js";`,
  "workers/inference.ts": `import sharp from "sharp";\nimport type { Task } from "../src/backends/protocol.ts";\nimport { digest } from "../src/image/digest.ts";\nawait import("onnxruntime-node");`,
  "test/support/fake.ts": `import { Problem } from "../../src/errors.ts";`,
};

/** @returns what is said about the sound house once the text is added to the end of that file. */
function breachesOnceAdded(path: string, added: string): string[] {
  return breachesAfter({ [path]: `${soundHouse[path] ?? ""}\n${added}` });
}

/** @returns what is said about the sound house once these files are put in. */
function breachesAfter(change: Readonly<Record<string, string>>): string[] {
  const house = Object.entries({ ...soundHouse, ...change });
  return findBreaches(house.map(([path, text]) => ({ path, text })));
}

test("the invented house is in order to begin with", () => {
  expect(breachesOnceAdded("src/main.ts", "")).toEqual([]);
});

/** What is wrong, in which file, the text that is added to it, and the part that is said after its path. */
const breaks: readonly (readonly [string, string, string, string])[] = [
  [
    "the core importing a surface, over several lines",
    "src/core/embed.ts",
    `import {\n  a,\n  b,\n} from "../http/problem.ts";`,
    "imports src/http/problem.ts: core may not know surfaces; take it as an argument, or move it down",
  ],
  [
    "an adapter importing a type of the core",
    "src/backends/pool.ts",
    `import type { Facts } from "../core/inspect.ts";`,
    "imports src/core/inspect.ts: adapters may not know core; take it as an argument, or move it down",
  ],
  [
    "pure code handing on an adapter",
    "src/image/digest.ts",
    `export { Task } from "../backends/protocol.ts";`,
    "imports src/backends/protocol.ts: pure may not know adapters; take it as an argument, or move it down",
  ],
  [
    "base importing pure code",
    "src/errors.ts",
    `import "./net/url.ts";`,
    "imports src/net/url.ts: base may not know pure; take it as an argument, or move it down",
  ],
  [
    "a surface importing its neighbour",
    "src/cli/serve.ts",
    `import { problem } from "../http/problem.ts";`,
    "imports src/http/problem.ts: surfaces are strangers to each other; move what they share to the core",
  ],
  [
    "the main thread loading a worker's module",
    "src/backends/pool.ts",
    `await import("../../workers/inference.ts");`,
    "imports workers/inference.ts: src/ knows a worker only by its path; send it a task of backends/protocol.ts",
  ],
  [
    "a worker importing another adapter",
    "workers/inference.ts",
    `import "../src/backends/clock.ts";`,
    "imports src/backends/clock.ts: workers know of the adapters only protocol, native, the model files and the embedding cache's; send it with the task",
  ],
  [
    "a worker importing the core",
    "workers/inference.ts",
    `import "../src/core/inspect.ts";`,
    "imports src/core/inspect.ts: adapters may not know core; take it as an argument, or move it down",
  ],
  [
    "the program importing a test's fake",
    "src/limits.ts",
    `import "../test/support/fake.ts";`,
    "imports test/support/fake.ts: the program does not know its tests; move the code to src/",
  ],
  [
    "test support importing a test",
    "test/support/fake.ts",
    `import "../unit/errors.test.ts";`,
    "imports test/unit/errors.test.ts: move what they share to test/support/",
  ],
  [
    "sharp on the main thread",
    "src/core/embed.ts",
    `import sharp from "sharp";`,
    "imports sharp: decode in workers/",
  ],
  [
    "onnxruntime on the main thread",
    "src/core/embed.ts",
    `require("onnxruntime-node");`,
    "imports onnxruntime-node: infer in workers/",
  ],
  [
    "Elysia in the command line",
    "src/cli/serve.ts",
    `import type { Elysia } from "elysia";`,
    "imports elysia: keep HTTP in src/http/",
  ],
  [
    "React outside the pages",
    "src/http/app.ts",
    `import { renderToString } from "react-dom/server";`,
    "imports react-dom/server: keep pages in src/web/",
  ],
  ...["node:fs", "node:dns/promises", "node:net", "node:http", "bun", "bun:sqlite"].map(
    (name) =>
      [
        `pure code importing ${name}`,
        "src/image/digest.ts",
        `import { x } from "${name}";`,
        `uses ${name}: pure code has no I/O and no clock; take the value as an argument`,
      ] as const,
  ),
  ...[
    ...["Date.now", "performance.now", "Math.random", "setTimeout", "fetch("],
    ...["Bun.file", "Bun.serve", "crypto.randomUUID"],
  ].map(
    (name) =>
      [
        `pure code calling ${name}`,
        "src/image/digest.ts",
        `export const x = ${name}();`,
        `uses ${name}: pure code has no I/O and no clock; take the value as an argument`,
      ] as const,
  ),
  ...["process.env", "Bun.env", "import.meta.env"].map(
    (name) =>
      [
        `${name} outside main.ts`,
        "src/core/embed.ts",
        `const port = ${name}["PORT"];`,
        "reads the environment: only src/main.ts does; add a row to src/config.ts",
      ] as const,
  ),
  ...["export default class Problem {}", "export { Problem as default };"].map(
    (line) => [line, "src/errors.ts", line, "exports default: export it under its name"] as const,
  ),
  [
    "a file that nothing imports",
    "src/vector/lost.ts",
    `import "../limits.ts";`,
    "is reached from no entry point: import it, or delete it",
  ],
  [
    "a file that imports itself",
    "src/errors.ts",
    `import "./errors.ts";`,
    "→ src/errors.ts is a cycle: move what both need into a file below them",
  ],
];

describe("each rule sees its breach, and only that", () => {
  test.each(breaks)("%s", (_what, path, added, said) => {
    expect(breachesOnceAdded(path, added)).toEqual([`${path} ${said}`]);
  });

  test("a cycle of three, one of them by type only, is told once", () => {
    const change = {
      "src/errors.ts": `import type { A } from "./limits.ts";`,
      "src/limits.ts": `import "./log.ts";`,
      "src/log.ts": `import "./errors.ts";`,
    };
    expect(breachesAfter(change)).toEqual([
      "src/errors.ts → src/limits.ts → src/log.ts → src/errors.ts is a cycle: move what both need into a file below them",
    ]);
  });

  test("a file outside every layer, told at both ends", () => {
    const change = {
      "src/main.ts": `import "./utils.ts";\nimport "./compose.ts";`,
      "src/utils.ts": "",
    };
    expect(breachesAfter(change)).toEqual([
      "src/main.ts imports src/utils.ts: that file is in no layer; move it into a room of src/README.md",
      "src/utils.ts is in no layer: move it into a room of src/README.md",
    ]);
  });

  test("a stray name at the top", () => {
    expect(findStrayNames(["src", ".git", "LICENSE", "helpers"])).toEqual([
      "helpers lies at the top of the repository: move it into the folder it belongs to",
    ]);
  });
});

describe("what is no breach", () => {
  test("comments may speak of what the code may not do", () => {
    const added = `/**\n * Unlike Date.now() and process.env.\n * import "../core/embed.ts";\n */\nconst x = 1; // fetch() elsewhere`;
    expect(breachesOnceAdded("src/image/digest.ts", added)).toEqual([]);
  });

  test("a string that looks like a comment hides nothing", () => {
    const added = `const accept = "image/*, //";\nconst now = Date.now(); /* here */`;
    expect(breachesOnceAdded("src/image/digest.ts", added)).toHaveLength(1);
  });

  test("a table beside the code is no module", () => {
    const added = `import words from "../../models/words.json" with { type: "json" };`;
    expect(breachesOnceAdded("src/image/digest.ts", added)).toEqual([]);
  });
});
