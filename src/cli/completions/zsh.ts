/** The completion script for zsh, 5 or newer. */
import { type CommandName, commandNames, commandOf, type Operand } from "../commands.ts";
import {
  firstWords,
  flagsOf,
  groups,
  type OfferedFlag,
  type Offers,
  secondWords,
} from "./offers.ts";

/** Makes the script: a function for `fpath`, which can be sourced too. */
export function zshCompletion(): string {
  return `#compdef imagesvc
# What zsh offers for imagesvc. In this shell, after compinit:   source <(imagesvc completions zsh)
# In every shell to come:   imagesvc completions zsh > a folder of $fpath, as _imagesvc

_imagesvc() {
  local -a offered
  local command=serve
  if (( CURRENT == 2 )) && [[ $words[2] != -* ]]; then
    offered=(
${describeLines(firstWords(), 6)}
    )
    _describe -t commands command offered
    return
  fi
  case $words[2] in
    -*) ;;
    help)
      shift words
      (( CURRENT -= 1 ))
      _imagesvc
      return ;;
    ${groups().join(" | ")})
      if (( CURRENT == 3 )); then
        case $words[2] in
${groups()
  .map(
    (group) =>
      `          ${group})\n            offered=(\n${describeLines(secondWords(group), 14)}\n            ) ;;`,
  )
  .join("\n")}
        esac
        _describe -t commands command offered
        return
      fi
      command="$words[2] $words[3]"
      shift 2 words
      (( CURRENT -= 2 )) ;;
    *)
      command=$words[2]
      shift words
      (( CURRENT -= 1 )) ;;
  esac
  case $command in
${commandNames.map(commandCase).join("\n")}
  esac
}

if [[ $funcstack[1] == _imagesvc ]]; then
  _imagesvc "$@"
else
  compdef _imagesvc imagesvc
fi
`;
}

function describeLines(words: ReadonlyMap<string, string>, indent: number): string {
  return [...words]
    .map(([word, what]) => `${" ".repeat(indent)}${quoted(`${word}:${what}`)}`)
    .join("\n");
}

function commandCase(name: CommandName): string {
  const specs = [
    ...flagsOf(name).map(flagSpec),
    ...(name === "serve" ? ["(- *)--version[Print the version.]"] : []),
    ...commandOf(name).operands.map(operandSpec),
  ];
  const lines = specs.map((spec) => `      ${quoted(spec)}`).join(" \\\n");
  return `    ${quoted(name)})\n      _arguments -S : \\\n${lines} ;;`;
}

/** @see zshcompsys(1), `_arguments`: `--flag=[what it does]:what its value is:what is offered`. */
function flagSpec({ flag, doc, takesValue, offers }: OfferedFlag): string {
  const shown = `[${doc.replaceAll(/[[\]]/g, "\\$&")}]`;
  if (!takesValue) return flag === "--help" ? `(- *)${flag}${shown}` : `${flag}${shown}`;
  return `${flag}=${shown}:value:${action(offers)}`;
}

function operandSpec({ name, offers, isOptional, isRepeated }: Operand, index: number): string {
  const place = isRepeated ? "*" : String(index + 1);
  return `${place}:${isOptional ? ":" : ""}${name}:${action(offers)}`;
}

function action(offers: Offers): string {
  if (offers === undefined) return " ";
  if (typeof offers !== "string") return `(${offers.join(" ")})`;
  return offers === "files" ? "_files" : "_files -/";
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
