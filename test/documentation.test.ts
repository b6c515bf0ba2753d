import { describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import packageJson from "../package.json" with { type: "json" };
import { helpText } from "../src/cli/help.ts";
import { settings } from "../src/config.ts";
import { problems } from "../src/errors.ts";
import { figureText, findingsOf } from "./bench/report.ts";
import { figures } from "./bench/run.ts";
import {
  commandFaults,
  figureFaults,
  helpFaults,
  linkFaults,
  machinePathFaults,
  mapFaults,
  problemsTable,
  settingsTable,
  tableFaults,
} from "./support/documentation-rules.ts";
import { repositoryRoot, topLevelNames } from "./support/source-files.ts";

const madeByTools = ["node_modules", "dist", "coverage", "downloads", ".git", ".demo"];
const texts = await readTexts();
const documents = new Map([...texts].filter(([path]) => path.endsWith(".md")));
const readme = documents.get("README.md") ?? "";
const errors = documents.get("docs/errors.md") ?? "";
const benchmarks = documents.get("BENCHMARKS.md") ?? "";
const map = documents.get("src/README.md") ?? "";
const program = [...texts.keys()].filter((path) => /^(src|workers)\/.*\.tsx?$/.test(path));
const scripts = Object.keys(packageJson.scripts);
const { packageManager } = packageJson;
const exists = (path: string) => existsSync(join(repositoryRoot, path));

describe("the documents and the program agree", () => {
  test("the README's settings are those of src/config.ts", () => {
    expect(tableFaults(readme, settingsTable(settings))).toEqual([]);
  });

  test("the problems of docs/errors.md are those of src/errors.ts", () => {
    expect(tableFaults(errors, problemsTable(problems))).toEqual([]);
  });

  test("the README is read in ten minutes: less than 400 lines", () => {
    expect(readme.split("\n").length).toBeLessThan(400);
  });

  test("--help names every setting", () => {
    expect(helpFaults(`${helpText()}${helpText("embed")}`, settings)).toEqual([]);
  });

  test("src/README.md names every file of src/ and workers/, and no other", () => {
    expect(mapFaults(map, program)).toEqual([]);
  });

  test("BENCHMARKS.md has a place for every figure, and for no other", () => {
    expect(figureFaults(benchmarks, [...figures.keys()])).toEqual([]);
  });

  test("the README's findings are those of BENCHMARKS.md", () => {
    expect(figureFaults(readme, [], ["summary"])).toEqual([]);
    expect(figureText(readme, "summary")).toBe(findingsOf(benchmarks));
  });

  test.each([...documents])("the commands of %s exist", (_path, text) => {
    expect(commandFaults(text, scripts, packageManager)).toEqual([]);
  });

  test.each([...documents.keys()])("the links of %s lead somewhere", (path) => {
    expect(linkFaults(path, exists, documents)).toEqual([]);
  });

  test("no file names a folder of one machine", () => {
    const faults = [...texts].flatMap(([path, text]) =>
      machinePathFaults(path, text, repositoryRoot),
    );
    expect(faults).toEqual([]);
  });
});

describe("each rule about tables sees its breach", () => {
  const port = settingsTable(settings)[1] ?? "";

  test.each([
    ["a setting that is left out", readme.replace(`${port}\n`, ""), [`add the row: ${port}`]],
    [
      "another default",
      readme.replace("| `PORT` | 8000 |", "| `PORT` | 80 |"),
      [`add the row: ${port}`, `not true (any more): ${port.replace("8000", "80")}`],
    ],
    [
      "another sentence",
      readme.replace("0 takes a free one", "0 takes any"),
      [
        `add the row: ${port}`,
        `not true (any more): ${port.replace("takes a free one", "takes any")}`,
      ],
    ],
    [
      "a setting that does not exist",
      readme.replace(port, `${port}\n| \`TURBO\` | on | Faster. |`),
      ["not true (any more): | `TURBO` | on | Faster. |"],
    ],
    [
      "a table that is gone",
      readme.replace("| setting | default |", "| name | default |"),
      ["there is no table with the line: | setting | default | what it does |"],
    ],
  ])("%s", (_what, changed, faults) => {
    expect(tableFaults(changed, settingsTable(settings))).toEqual(faults);
  });

  test("settings in another order", () => {
    const [header = "", first = "", second = "", ...rest] = settingsTable(settings);
    expect(tableFaults(readme, [header, second, first, ...rest])).toEqual([
      `other order than in the source: ${header}`,
    ]);
  });

  test("a problem that is left out", () => {
    const row = problemsTable(problems).at(-1) ?? "";
    expect(tableFaults(errors.replace(row, ""), problemsTable(problems))).toEqual([
      `add the row: ${row}`,
    ]);
  });
});

describe("each other rule sees its breach", () => {
  test("a flag and a secret that --help does not name", () => {
    const help = `${helpText()}${helpText("embed")}`
      .replaceAll("--max-pixels <", "--max-pix <")
      .replaceAll("NVIDIA_API_KEY\n", "\n");
    expect(helpFaults(help, settings)).toEqual([
      "--help does not name NVIDIA_API_KEY",
      "--help does not name --max-pixels <value>",
    ]);
  });

  test("a file that is on no map, and one that is only on the map", () => {
    const changed = map.replace("| `routes/upload.ts` |", "| `routes/download.ts` |");
    expect(mapFaults(changed, program)).toEqual([
      "not on the map: src/http/routes/upload.ts",
      "does not exist: src/http/routes/download.ts",
    ]);
  });

  test("a script that does not exist, and another Bun", () => {
    const text = "`npx -y bun@1.4.4 run demo`, `bun run dance`, `bun run src/main.ts`, bun@1.4.5.";
    expect(commandFaults(text, scripts, "bun@1.4.5")).toEqual([
      "there is no such script: bun run dance",
      "not the pinned version: bun@1.4.4",
    ]);
  });

  test("a figure without a place, a place without a figure, an empty one, and one without an end", () => {
    const places = (...names: readonly string[]) =>
      names.map((name) => `<!-- figure:${name} -->\ntext\n<!-- /figure:${name} -->\n`).join("");
    expect(figureFaults(places("speed"), ["speed"])).toEqual([]);
    expect(figureFaults(places("speed", "colour"), ["speed", "size"])).toEqual([
      "add <!-- figure:size --> and <!-- /figure:size -->",
      "there is no figure colour",
    ]);
    expect(figureFaults(places("speed").replace("text", ""), ["speed"])).toEqual([
      "nothing is written yet for speed",
    ]);
    expect(figureFaults("<!-- figure:speed -->\ntext\n", ["speed"])).toEqual([
      "no end of the place for speed",
    ]);
  });

  test("links to a missing file and to a missing heading", () => {
    const text =
      "[a](gone.md) [b](../README.md#settings) [c](../README.md#setting) [d](https://example.com/x) [e](#top)\n# Top\n";
    const changed = new Map(documents).set("docs/page.md", text);
    expect(
      linkFaults("docs/page.md", (path) => path.endsWith("/page.md") || exists(path), changed),
    ).toEqual([
      "docs/page.md links to gone.md, which does not exist",
      "docs/page.md links to ../README.md#setting, but there is no such heading",
    ]);
  });

  test("folders of one machine", () => {
    const personal = ["", "home", "somebody", "imagesvc"].join("/");
    const faults = (text: string) => machinePathFaults("a.ts", text, "/srv/clone");
    expect(faults(`const x = "${personal}";`)).toEqual([
      `a.ts names a folder of one machine: ${["", "home", "somebody"].join("/")}`,
    ]);
    expect(faults(`cd /srv/clone/src`)).toHaveLength(1);
    expect(faults(`"/$bunfs/root/workers/x.js", https://example.com/home/page`)).toEqual([]);
    expect(faults("WorkingDirectory=/home/ec2-user/demo")).toEqual([]);
  });
});

/** Every text that is written by hand, by its path from the repository's root. */
async function readTexts(): Promise<ReadonlyMap<string, string>> {
  const isText = /(\.(tsx?|md|jsonc?|toml|service|css|html)|^\.ci\/run|^\.gitignore)$/;
  const paths = topLevelNames()
    .filter((name) => !madeByTools.includes(name))
    .flatMap((name) => [
      name,
      ...new Bun.Glob(`${name}/**/*`).scanSync({ cwd: repositoryRoot, dot: true }),
    ])
    .filter((path) => isText.test(path))
    .sort();
  const entries = paths.map(async (path) => {
    return [path, await Bun.file(join(repositoryRoot, path)).text()] as const;
  });
  return new Map(await Promise.all(entries));
}
