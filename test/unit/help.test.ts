/** What `--help` says. */
import { describe, expect, test } from "bun:test";
import { parseArguments } from "../../src/cli/arguments.ts";
import { commandNames, commandOf } from "../../src/cli/commands.ts";
import { helpText } from "../../src/cli/help.ts";
import { flagOf, settings } from "../../src/config.ts";

const groups = new Set(
  commandNames.filter((name) => name.includes(" ")).map((name) => name.split(" ")[0] ?? ""),
);
const topics = [undefined, ...groups, ...commandNames];

describe.each(topics)("the help of %p", (about) => {
  test("is what --help and help ask for", () => {
    const words = about?.split(" ") ?? [];
    expect(parseArguments([...words, "--help"])).toEqual({ kind: "help", about });
    expect(parseArguments(["help", ...words])).toEqual({ kind: "help", about });
  });

  test("begins with a line of usage, fits into 100 columns, and ends with a line break", () => {
    const lines = helpText(about).split("\n");
    expect(lines[0]).toStartWith(`Usage: imagesvc ${about ?? "[COMMAND]"}`);
    expect(lines.filter((line) => line.length > 100 || /\s$/.test(line))).toEqual([]);
    expect(lines.slice(-2)).toEqual([expect.stringMatching(/\S/), ""]);
  });
});

test("the help of a command names each option and setting of its own", () => {
  for (const name of commandNames) {
    const help = helpText(name);
    const { options, settings: names } = commandOf(name);
    for (const option of Object.keys(options))
      expect(help).toMatch(new RegExp(`^  --${option}\\b`, "m"));
    for (const one of names) {
      expect(help).toContain(
        settings[one].secret ? `\n  ${one}\n` : `\n  ${flagOf(one)} <value>\n`,
      );
    }
  }
});

test("the choices of a setting are named", () => {
  expect(helpText("serve")).toMatch(/--log-level <value>\n.*debug, info, warn, error/);
});

test("the choices of an operand are named", () => {
  expect(helpText("completions")).toStartWith("Usage: imagesvc completions bash|zsh\n");
});

test("the whole names every command once", () => {
  for (const name of commandNames) {
    expect(helpText().match(new RegExp(`^  imagesvc ${name}( |$)`, "gm"))).toHaveLength(1);
  }
});
