/** The command line: which command, with which operands, options, and settings as flags. */
import { type ParseArgsConfig, parseArgs } from "node:util";
import { flagOf, type SettingName, settingNames, settings } from "../config.ts";
import { type Command, type CommandName, commandNames, commandOf } from "./commands.ts";
import { suggestionFor } from "./suggestion.ts";

/** A command as it was asked for. */
export interface Invocation {
  readonly command: CommandName;
  readonly operands: readonly string[];
  /** The options that were given: a text, or true for a switch. */
  readonly options: ReadonlyMap<string, string | true>;
  /** Texts of the settings that were given as flags. */
  readonly flags: Readonly<Partial<Record<SettingName, string>>>;
}

/** What the command line asks for. */
export type Request =
  | { readonly kind: "command"; readonly invocation: Invocation }
  /** `about` is a command, a group such as `models`, or nothing in particular. */
  | { readonly kind: "help"; readonly about: string | undefined }
  | { readonly kind: "version" }
  | { readonly kind: "usage-error"; readonly message: string };

/** Settings of a command that are flags: all but the secrets. */
export function flagSettings({ settings: names }: Command): readonly SettingName[] {
  return names.filter((name) => !settings[name].secret);
}

/**
 * Reads the command line. `--` ends the options; of a flag that is given twice the last counts, so that a
 * script's own can be overridden.
 *
 * @param argv the arguments after the program's name.
 */
export function parseArguments(argv: readonly string[]): Request {
  if (argv[0] === "help") return parseArguments([...argv.slice(1), "--help"]);
  const end = argv.indexOf("--");
  const beforeEnd = end === -1 ? argv : argv.slice(0, end);
  const has = (...names: readonly string[]) => beforeEnd.some((text) => names.includes(text));
  const { words, name } = commandIn(argv);
  if (words.length === 0) {
    if (has("--help", "-h")) return { kind: "help", about: undefined };
    if (has("--version", "-V")) return parseVersion(argv);
  }
  if (has("--help", "-h") && (name !== undefined || groupCommands(words.join(" ")).length > 0)) {
    return { kind: "help", about: words.join(" ") };
  }
  return name === undefined ? unknownCommand(words) : parseCommand(name, argv, words.length);
}

function parseVersion(argv: readonly string[]): Request {
  const surplus = argv.find((text) => text !== "--version" && text !== "-V");
  if (surplus === undefined) return { kind: "version" };
  // The value of a flag may be a secret.
  const [shown = ""] = surplus.split("=", 1);
  return usageError(`--version: ${quote(shown)} is too much`);
}

function unknownCommand(words: readonly string[]): Request {
  const written = words.join(" ");
  const group = groupCommands(written);
  if (group.length > 0) {
    return usageError(`${written} is not a whole command: there are ${group.join(", ")}`, written);
  }
  const names = [...commandNames, ...commandNames.flatMap((name) => name.split(" ", 1))];
  return usageError(`there is no command ${quote(written)}${suggestionFor(written, names)}`);
}

/** The commands of a group, such as those of `models`. */
export function groupCommands(group: string): readonly CommandName[] {
  return commandNames.filter((name) => name.startsWith(`${group} `));
}

/** The words in front that name a command; without any it is `serve`. */
function commandIn(argv: readonly string[]) {
  const end = argv.findIndex((text) => text.startsWith("-"));
  const front = argv.slice(0, end === -1 ? argv.length : end);
  if (front.length === 0) return { words: [], name: "serve" as const };
  for (const count of [2, 1]) {
    const words = front.slice(0, count);
    const name = commandNames.find((one) => one === words.join(" "));
    if (name !== undefined) return { words, name };
  }
  const isGroup = groupCommands(front[0] ?? "").length > 0;
  return { words: front.slice(0, isGroup && front.length > 1 ? 2 : 1), name: undefined };
}

function parseCommand(name: CommandName, argv: readonly string[], words: number): Request {
  const command = commandOf(name);
  const flags = flagsOf(command);
  const options: NonNullable<ParseArgsConfig["options"]> = {};
  for (const [flag, { type }] of flags) options[flag] = { type };
  const args = argv.slice(words);
  const { tokens } = parseArgs({ args, options, strict: false, tokens: true });
  const given = new Map<string, string | true>();
  const settingTexts: Partial<Record<SettingName, string>> = {};
  for (const token of tokens.filter((one) => one.kind === "option")) {
    const flag = flags.get(token.name);
    const fault = flag === undefined ? unknownFlag(token.rawName, flags) : valueFault(token, flag);
    if (fault !== undefined) return usageError(fault, name);
    if (flag?.setting !== undefined) settingTexts[flag.setting] = token.value ?? "";
    else given.set(token.name, token.value ?? true);
  }
  const operands = tokens.filter((one) => one.kind === "positional").map(({ value }) => value);
  const fault = operandFault(command, operands);
  if (fault !== undefined) return usageError(`${name}: ${fault}`, name);
  const invocation = { command: name, operands, options: given, flags: settingTexts };
  return { kind: "command", invocation };
}

/** A flag of a command: a setting, or an option of its own. */
interface Flag {
  readonly type: "string" | "boolean";
  readonly setting?: SettingName;
}

/** Every flag of a command, by its name without dashes. */
function flagsOf(command: Command): ReadonlyMap<string, Flag> {
  const flags = new Map<string, Flag>();
  for (const setting of flagSettings(command)) {
    flags.set(flagOf(setting).slice(2), { type: "string", setting });
  }
  for (const [option, { value }] of Object.entries(command.options)) {
    flags.set(option, { type: value === undefined ? "boolean" : "string" });
  }
  return flags;
}

function unknownFlag(written: string, flags: ReadonlyMap<string, Flag>): string {
  const secret = settingNames.find((one) => settings[one].secret && flagOf(one) === written);
  if (secret !== undefined)
    return `${written} is no flag: a secret is set as ${secret} in the environment`;
  const names = [...flags.keys()].map((flag) => `--${flag}`);
  return `there is no flag ${quote(written)}${suggestionFor(written, names)}`;
}

interface GivenFlag {
  readonly rawName: string;
  readonly value: string | undefined;
  readonly inlineValue: boolean | undefined;
}

function valueFault(
  { rawName, value, inlineValue }: GivenFlag,
  { type }: Flag,
): string | undefined {
  if (type === "boolean") return value === undefined ? undefined : `${rawName} takes no value`;
  if (value === undefined) return `the value of ${rawName} is missing`;
  if (inlineValue === true || !/^-./.test(value)) return undefined;
  return `the value of ${rawName} is missing; one that begins with a dash is written ${rawName}=VALUE`;
}

function operandFault({ operands }: Command, given: readonly string[]): string | undefined {
  const missing = operands[given.length];
  if (missing !== undefined && missing.isOptional !== true) return `${missing.name} is missing`;
  const surplus = given[operands.length];
  if (surplus !== undefined && operands.at(-1)?.isRepeated !== true) {
    return `${quote(surplus)} is too much`;
  }
  for (const [index, text] of given.entries()) {
    const operand = operands[Math.min(index, operands.length - 1)];
    const offers = operand?.offers;
    if (typeof offers === "object" && !offers.includes(text)) {
      return `${operand?.name} is ${quote(text)}: it must be one of ${offers.join(", ")}`;
    }
  }
  return undefined;
}

/** The beginning of what was written, on one line. */
function quote(written: string): string {
  return JSON.stringify(written.slice(0, 80));
}

function usageError(message: string, about?: string): Request {
  const hint = about === undefined || about === "serve" ? "" : `${about} `;
  return { kind: "usage-error", message: `${message}\nTry: imagesvc ${hint}--help` };
}
