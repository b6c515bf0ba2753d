/** The scripts of `imagesvc completions`, in the shells that they are for. */
import { describe, expect, test } from "bun:test";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { commandNames } from "../../src/cli/commands.ts";
import { leftOut } from "../support/left-out.ts";
import { runMain } from "../support/process.ts";
import { temporaryFolder } from "../support/tiny-clip.ts";

/** A line as it stands when the tab key is pressed, and words that are offered, or not. */
type Case = readonly [line: string, offered: readonly string[], others: readonly string[]];

const cases: readonly Case[] = [
  ["imagesvc mo", ["models"], ["serve", "list"]],
  ["imagesvc models ", ["list", "pull", "import", "verify", "remove"], ["models", "delete"]],
  ["imagesvc models list --", ["--json", "--models-dir", "--help"], ["--port"]],
  ["imagesvc --ver", ["--version"], ["--help"]],
  ["imagesvc --he", ["--help"], ["--version"]],
  ["imagesvc --ta", ["--takeover"], ["--json"]],
  ["imagesvc serve --lo", ["--log-level", "--log-format"], ["--port"]],
  ["imagesvc serve --clip-weights ", ["openai", "synthetic"], ["--port"]],
  ["imagesvc serve --clip-weights=s", ["synthetic"], ["openai"]],
  ["imagesvc serve --port 81 --downloads-keep ", ["true", "false"], []],
  ["imagesvc completions ", ["bash", "zsh"], []],
  ["imagesvc help k", ["keys"], ["serve"]],
  ["imagesvc search ", ["a folder"], ["a-file"]],
  ["imagesvc embed ", ["a folder", "a-file"], []],
  ["imagesvc doctor --models-dir ", ["a folder"], ["a-file"]],
];

/** A folder with a script in it, and something that can be offered. */
async function preparedFolder(script: string) {
  const folder = await temporaryFolder();
  await mkdir(join(folder.path, "work/a folder"), { recursive: true });
  await Bun.write(join(folder.path, "work/a-file"), "");
  await Bun.write(join(folder.path, "script"), script);
  return folder;
}

async function scriptFor(shell: string): Promise<string> {
  const { code, output, errors } = await runMain(["completions", shell]);
  expect({ code, errors }).toEqual({ code: 0, errors: "" });
  return output;
}

/** Runs a shell with a program of ours; it ends by itself, or is ended. */
async function runShell(argv: readonly string[], cwd: string): Promise<string> {
  const child = Bun.spawn([...argv], {
    cwd,
    env: { PATH: Bun.env["PATH"] ?? "", HOME: cwd, TERM: "dumb" },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    timeout: 30_000,
  });
  const [output, errors] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  expect({ code: await child.exited, errors }).toEqual({ code: 0, errors: "" });
  return output;
}

describe("bash", () => {
  // What readline does: it parts the line at blanks and at "=", and calls the function for the last word.
  const program = `
    source "$1"; shift
    COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
    _imagesvc imagesvc
    printf '%s\\n' "\${COMPREPLY[@]}"`;

  test.each(cases)("after %p", async (line, offered, others) => {
    await using folder = await preparedFolder(await scriptFor("bash"));
    const words = line.replaceAll("=", " = ").split(" ");
    const argv = ["bash", "--norc", "-c", program, "bash", "../script", ...words];
    const found = (await runShell(argv, join(folder.path, "work"))).trim().split("\n");
    expect(found).toEqual(expect.arrayContaining([...offered]));
    expect(found.filter((word) => others.includes(word))).toEqual([]);
  });

  test("registers itself, and knows every command and its flags", async () => {
    await using folder = await preparedFolder(await scriptFor("bash"));
    const flags = `source ./script; complete -p imagesvc; for command in ${commandNames
      .map((name) => `"${name}"`)
      .join(" ")}; do offers=; _imagesvc_flags; echo "$offers"; done`;
    const [registered, ...lines] = (await runShell(["bash", "--norc", "-c", flags], folder.path))
      .trim()
      .split("\n");
    expect(registered).toBe("complete -F _imagesvc imagesvc");
    expect(lines).toHaveLength(commandNames.length);
    for (const line of lines) expect(line).toMatch(/^words .*--help$/);
  });
});

describe("zsh", () => {
  /** Notes what is offered, and that the tab key has been answered. */
  const startup = `
    PS1=
    autoload -Uz compinit; compinit -u -D
    source ../script
    compadd() {
      if [[ \${@[1,(i)(-|--)]} == *-(O|A|D)\\ * ]]; then builtin compadd "$@"; return; fi
      local -a hits; builtin compadd -O hits "$@"; print -rl -- \${(Q)hits} >> ../offered
      builtin compadd "$@"
    }
    bindkey '^I' complete-word
    finish() { BUFFER=; : > ../done }
    zle -N finish
    bindkey '^X' finish`;
  // One shell for all lines: it takes a second to start.
  const driver = `
    zmodload zsh/zpty
    zpty -b shell "ZDOTDIR=\${PWD:h} zsh -i"
    for line; do
      : > ../offered
      zpty -w -n shell "$line"$'\\t\\x18'
      until [[ -e ../done ]]; do zpty -r -t shell ignored; sleep 0.02; done
      rm ../done
      print -r -- "\${(j:/:)\${(f)"$(<../offered)"}}"
    done
    zpty -d shell`;

  test("after every line", async () => {
    if (Bun.which("zsh") === null) return leftOut("zsh is not installed");
    await using folder = await preparedFolder(await scriptFor("zsh"));
    await Bun.write(join(folder.path, ".zshrc"), startup);
    const argv = ["zsh", "-f", "-c", driver, "zsh", ...cases.map(([line]) => line)];
    const output = await runShell(argv, join(folder.path, "work"));
    const found = output.trimEnd().split("\n");
    for (const [index, [line, offered, others]] of cases.entries()) {
      const words = found[index]?.split("/") ?? [];
      expect({ line, words }).toEqual({ line, words: expect.arrayContaining([...offered]) });
      expect({ line, wrong: words.filter((word) => others.includes(word)) }).toEqual({
        line,
        wrong: [],
      });
    }
  });
});

test("a shell that is not known is wrong usage", async () => {
  expect((await runMain(["completions", "fish"])).code).toBe(2);
  expect((await runMain(["completions"])).code).toBe(2);
});
