/** What can follow on a command line, from the tables of commands and settings. */
import { flagOf, type SettingName, settings } from "../../config.ts";
import type { Setting } from "../../setting.ts";
import { flagSettings } from "../arguments.ts";
import { type CommandName, commandNames, commandOf, type Operand } from "../commands.ts";

/** What a shell offers for a value; absent where it cannot know. */
export type Offers = Operand["offers"];

/** A flag of a command. */
export interface OfferedFlag {
  /** With its dashes. */
  readonly flag: string;
  /** One sentence, without Markdown. */
  readonly doc: string;
  readonly takesValue: boolean;
  readonly offers: Offers;
}

/** The words that can stand first, each with what it does. */
export function firstWords(): ReadonlyMap<string, string> {
  const words = new Map<string, string>();
  for (const name of commandNames) {
    const [first = name, second] = name.split(" ");
    const others = secondWords(first);
    words.set(
      first,
      second === undefined ? commandOf(name).summary : [...others.keys()].join(", "),
    );
  }
  return words.set("help", "say more about a command");
}

/** The words that can follow a group, such as `list` after `models`. */
export function secondWords(group: string): ReadonlyMap<string, string> {
  const names = commandNames.filter((name) => name.startsWith(`${group} `));
  return new Map(names.map((name) => [name.slice(group.length + 1), commandOf(name).summary]));
}

/** Words that are no command by themselves. */
export function groups(): readonly string[] {
  return [...firstWords().keys()].filter((word) => secondWords(word).size > 0);
}

/** The flags of a command: its options, its settings, `--help`. */
export function flagsOf(name: CommandName): readonly OfferedFlag[] {
  const command = commandOf(name);
  const own = Object.entries(command.options).map(([option, { doc, value, offers }]) => ({
    flag: `--${option}`,
    doc: firstSentence(doc),
    takesValue: value !== undefined,
    offers,
  }));
  const help = { flag: "--help", doc: "Say more.", takesValue: false, offers: undefined };
  return [...own, ...flagSettings(command).map(settingFlag), help];
}

/** A setting as a flag: it means the same for every command. */
function settingFlag(name: SettingName): OfferedFlag {
  const { doc, choices, fallback }: Setting<unknown> = settings[name];
  const words = typeof fallback === "boolean" ? ["true", "false"] : choices;
  return {
    flag: flagOf(name),
    doc: firstSentence(doc),
    takesValue: true,
    offers: words ?? pathsFor(name),
  };
}

function pathsFor(name: SettingName): Offers {
  if (name.endsWith("_DIR")) return "folders";
  return name.endsWith("_FILE") ? "files" : undefined;
}

function firstSentence(markdown: string): string {
  const [sentence = ""] = markdown.replaceAll("`", "").split(/(?<=\.) /, 1);
  return sentence;
}
