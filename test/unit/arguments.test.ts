/** The command line, read. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { parseArguments } from "../../src/cli/arguments.ts";
import { commandNames } from "../../src/cli/commands.ts";
import { flagOf, settingNames, settings } from "../../src/config.ts";

/** The command as it was understood. */
function invocation(...argv: string[]) {
  const request = parseArguments(argv);
  if (request.kind !== "command") throw new Error(JSON.stringify(request));
  const { command, operands, options, flags } = request.invocation;
  return { command, operands, options: Object.fromEntries(options), flags };
}

/** The first line of what is said to be wrong. */
function faultOf(...argv: string[]): string | undefined {
  const request = parseArguments(argv);
  return request.kind === "usage-error" ? request.message.split("\n")[0] : undefined;
}

const serve = { command: "serve", operands: [], options: {}, flags: {} } as const;

describe("a command", () => {
  test.each<[string[], object]>([
    [[], serve],
    [["serve"], serve],
    [["--"], serve],
    [["--port", "81"], { ...serve, flags: { PORT: "81" } }],
    [["serve", "--takeover"], { ...serve, options: { takeover: true } }],
    [["--takeover", "--port=81"], { ...serve, options: { takeover: true }, flags: { PORT: "81" } }],
    [["models", "list", "--json"], { ...serve, command: "models list", options: { json: true } }],
    [["search", "a", "b"], { ...serve, command: "search", operands: ["a", "b"] }],
    [
      ["search", "--", "--json", "--help"],
      { ...serve, command: "search", operands: ["--json", "--help"] },
    ],
    [["embed", "-", "x"], { ...serve, command: "embed", operands: ["-", "x"] }],
  ])("%p", (argv, understood) => {
    expect(invocation(...argv)).toEqual(understood as ReturnType<typeof invocation>);
  });

  test("takes the last of a flag that is given twice", () => {
    expect(invocation("--port", "1", "--port=2").flags).toEqual({ PORT: "2" });
  });

  test("takes a value that begins with a dash, or an empty one, behind an equals sign", () => {
    expect(invocation("--host=-x", "--models-dir=").flags).toEqual({ HOST: "-x", MODELS_DIR: "" });
    expect(invocation("--models-dir", "-").flags).toEqual({ MODELS_DIR: "-" });
  });
});

describe("help and version", () => {
  const help = (about?: string) => ({ kind: "help", about }) as const;

  test.each<[string[], ReturnType<typeof parseArguments>]>([
    [["--help"], help()],
    [["help"], help()],
    [["--port", "81", "-h"], help()],
    [["serve", "--help"], help("serve")],
    [["models", "--help"], help("models")],
    [["help", "models"], help("models")],
    [["models", "list", "-h"], help("models list")],
    [["help", "models", "list"], help("models list")],
    [["models", "list", "--nope", "--help"], help("models list")],
    [["--version"], { kind: "version" }],
    [["-V"], { kind: "version" }],
  ])("%p", (argv, request) => {
    expect(parseArguments(argv)).toEqual(request);
  });
});

describe("what is wrong is said in one sentence", () => {
  test.each<[string[], string]>([
    [["sevre"], 'there is no command "sevre": did you mean "serve"?'],
    [["modles", "list"], 'there is no command "modles": did you mean "models"?'],
    [["models", "lst"], 'there is no command "models lst": did you mean "models list"?'],
    [["fly"], 'there is no command "fly"'],
    [["help", "fly"], 'there is no command "fly"'],
    [["x\ny"], 'there is no command "x\\ny"'],
    [["--prot", "1"], 'there is no flag "--prot": did you mean "--port"?'],
    [["-p", "1"], 'there is no flag "-p"'],
    [["--port"], "the value of --port is missing"],
    [
      ["--port", "--json"],
      "the value of --port is missing; one that begins with a dash is written --port=VALUE",
    ],
    [["doctor", "--json=yes"], "--json takes no value"],
    [["--version", "extra"], '--version: "extra" is too much'],
    [["--version", "--nvidia-api-key=hunter2"], '--version: "--nvidia-api-key" is too much'],
    [["serve", "now"], 'serve: "now" is too much'],
    [["search", "a"], "search: TEXT is missing"],
    [["completions", "fish"], 'completions: SHELL is "fish": it must be one of bash, zsh'],
  ])("%p", (argv, fault) => {
    expect(faultOf(...argv)).toBe(fault);
  });

  test("a group alone names what there is", () => {
    expect(faultOf("keys")).toBe(
      "keys is not a whole command: there are keys add, keys list, keys revoke",
    );
  });

  test.each(settingNames.filter((name) => settings[name].secret))(
    "%s is no flag, and its value is not repeated",
    (name) => {
      const fault = faultOf(`${flagOf(name)}=hunter2`);
      expect(fault).toContain(`${name} in the environment`);
      expect(fault).not.toContain("hunter2");
    },
  );
});

test("any arguments are one of the kinds, and nothing throws", () => {
  const words = [...commandNames.flatMap((name) => name.split(" ")), "help", "--", "-", "-h"];
  const flags = settingNames.flatMap((name) => [flagOf(name), `${flagOf(name)}=1`]);
  const argument = fc.oneof(
    fc.constantFrom(...words, ...flags, "--json", "--no-json", "--__proto__", "--constructor"),
    fc.string({ unit: "binary" }),
    fc.string().map((text) => `--${text}`),
  );
  fc.assert(
    fc.property(fc.array(argument, { maxLength: 6 }), (argv) => {
      const request = parseArguments(argv);
      expect(["command", "help", "version", "usage-error"]).toContain(request.kind);
      if (request.kind === "usage-error") expect(request.message.split("\n")).toHaveLength(2);
      if (request.kind !== "command") return;
      for (const [name, value] of Object.entries(request.invocation.flags)) {
        expect(argv.includes(value) || argv.some((text) => text.endsWith(`=${value}`))).toBe(true);
        expect(settingNames.map(String)).toContain(name);
      }
    }),
    { numRuns: 500 },
  );
});
