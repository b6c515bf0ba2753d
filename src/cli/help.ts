/** The texts of `--help`, made from the tables of commands and settings. */
import { flagOf, type SettingName, settings } from "../config.ts";
import type { Setting } from "../setting.ts";
import { flagSettings, groupCommands } from "./arguments.ts";
import { type CommandName, commandNames, commandOf } from "./commands.ts";

/** No line is wider. */
const maxColumns = 100;

/**
 * What `--help` prints.
 *
 * @param about a command or a group of them; absent for the whole, with the flags of `serve`.
 */
export function helpText(about?: string): string {
  const name = commandNames.find((one) => one === about);
  if (name !== undefined) return commandHelp(name);
  if (about !== undefined) {
    return `Usage: imagesvc ${about} COMMAND\n\nCommands:\n${overview(groupCommands(about))}\n`;
  }
  return `Usage: imagesvc [COMMAND] [flags]

Image embeddings over HTTP. Without a command the service is started.

Commands:
${overview(commandNames)}
${row("imagesvc --version", "print the version")}

imagesvc COMMAND --help says more about each.
Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted.

${detailsOf("serve")}`;
}

function commandHelp(name: CommandName): string {
  const { summary } = commandOf(name);
  const details = detailsOf(name);
  const sentence = wrapped(sentenceOf(summary), 0);
  return `Usage: ${usageOf(name)}\n\n${sentence}\n${details && `\n${details}`}`;
}

/** `print the version` is `Print the version.` */
function sentenceOf(summary: string): string {
  return `${summary.charAt(0).toUpperCase()}${summary.slice(1)}.`;
}

function overview(names: readonly CommandName[]): string {
  return names.map((name) => row(usageOf(name, false), commandOf(name).summary)).join("\n");
}

/** One line, or two where the usage is long. */
function row(usage: string, summary: string): string {
  const indent = 36;
  const text = wrapped(summary, indent);
  const left = `  ${usage}`;
  return left.length + 2 > indent ? `${left}\n${text}` : left.padEnd(indent) + text.slice(indent);
}

function usageOf(name: CommandName, withFlags = true): string {
  const { operands, options, settings: names } = commandOf(name);
  const shown = operands.map(({ name: operand, offers, isOptional, isRepeated }) => {
    const word = typeof offers === "object" ? offers.join("|") : operand;
    const repeated = isRepeated ? `${word}…` : word;
    return isOptional ? `[${repeated}]` : repeated;
  });
  const hasFlags = Object.keys(options).length + names.length > 0;
  return ["imagesvc", name, ...(withFlags && hasFlags ? ["[flags]"] : []), ...shown].join(" ");
}

/** The command's own options, then the settings that are its flags, then its secrets. */
function detailsOf(name: CommandName): string {
  const command = commandOf(name);
  const own = Object.entries(command.options).map(
    ([option, { doc, value }]) =>
      `  --${option}${value === undefined ? "" : ` <${value}>`}\n${wrapped(plain(doc), 6)}`,
  );
  const flags = flagSettings(command).map(flagHelp);
  const secrets = command.settings.filter((one) => settings[one].secret);
  return [
    section(`Options of ${name}:`, own),
    section(
      `Flags of ${name}, each also a variable of the environment (--max-pixels is MAX_PIXELS):`,
      flags,
    ),
    section("Only in the environment:", secrets.map(secretHelp)),
  ]
    .filter((text) => text !== "")
    .join("\n");
}

function section(title: string, lines: readonly string[]): string {
  return lines.length === 0 ? "" : `${title}\n${lines.join("\n")}\n`;
}

function flagHelp(name: SettingName): string {
  const { doc, shownDefault, choices }: Setting<unknown> = settings[name];
  const oneOf = choices === undefined ? "" : ` One of ${choices.join(", ")}.`;
  const text = `${doc}${oneOf} Default: ${shownDefault}.`;
  return `  ${flagOf(name)} <value>\n${wrapped(plain(text), 6)}`;
}

function secretHelp(name: SettingName): string {
  return `  ${name}\n${wrapped(plain(settings[name].doc), 6)}`;
}

/** Lines of whole words, each behind `indent` blanks. */
function wrapped(text: string, indent: number): string {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    const longer = line === "" ? word : `${line} ${word}`;
    if (line !== "" && indent + longer.length > maxColumns) {
      lines.push(line);
      line = word;
    } else line = longer;
  }
  return [...lines, line].map((one) => " ".repeat(indent) + one).join("\n");
}

/** The tables are written in Markdown. */
function plain(markdown: string): string {
  return markdown.replaceAll("`", "");
}
