/** The command line: which command, with which settings as flags. */
import { type ParseArgsConfig, parseArgs } from "node:util";
import { flagOf, type SettingName, settings } from "../config.ts";
import { messageOf } from "../errors.ts";

/** What the command line asks for. */
export type Invocation =
  | {
      readonly command: "serve" | "openapi";
      /** Texts of the settings that were given as flags. */
      readonly flags: Readonly<Partial<Record<SettingName, string>>>;
    }
  | { readonly command: "help" | "version" }
  | { readonly command: "usage-error"; readonly message: string };

/** Settings that are flags: all but the secrets. */
export const flagSettings: readonly SettingName[] = settingNames().filter(
  (name) => !settings[name].secret,
);

function settingNames(): SettingName[] {
  return Object.keys(settings).filter((name): name is SettingName => name in settings);
}

/** @param argv the arguments after the program's name. */
export function parseArguments(argv: readonly string[]): Invocation {
  const byFlag = new Map(flagSettings.map((name) => [flagOf(name).slice(2), name]));
  const options: NonNullable<ParseArgsConfig["options"]> = {
    help: { type: "boolean", short: "h" },
    version: { type: "boolean", short: "V" },
  };
  for (const flag of byFlag.keys()) options[flag] = { type: "string" };
  try {
    const { values, positionals } = parseArgs({ args: [...argv], options, allowPositionals: true });
    const given = new Map(Object.entries(values));
    if (given.get("help") === true) return { command: "help" };
    if (given.get("version") === true) return { command: "version" };
    const [command = "serve", ...rest] = positionals;
    if ((command !== "serve" && command !== "openapi") || rest.length > 0) {
      return usageError(`there is no command "${[command, ...rest].join(" ").slice(0, 80)}"`);
    }
    const flags: Partial<Record<SettingName, string>> = {};
    for (const [flag, name] of byFlag) {
      const value = given.get(flag);
      if (typeof value === "string") flags[name] = value;
    }
    return { command, flags };
  } catch (error) {
    return usageError(messageOf(error));
  }
}

function usageError(message: string): Invocation {
  return { command: "usage-error", message: `${message}\nTry: imagesvc --help` };
}
