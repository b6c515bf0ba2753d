/** The completion script for bash, 4 or newer. */
import { type CommandName, commandNames, commandOf } from "../commands.ts";
import {
  firstWords,
  flagsOf,
  groups,
  type OfferedFlag,
  type Offers,
  secondWords,
} from "./offers.ts";

/** Makes the script. It needs no package of completions. */
export function bashCompletion(): string {
  return `# What bash offers for imagesvc. In this shell:   source <(imagesvc completions bash)
# In every shell to come:   imagesvc completions bash > ~/.local/share/bash-completion/completions/imagesvc

# Sets command to the command that the words name, and first to the index of what follows it.
_imagesvc_command() {
  command= first=1
  if ((COMP_CWORD > 2)); then
    case "\${COMP_WORDS[1]} \${COMP_WORDS[2]}" in
      ${commandNames.filter(isOfGroup).map(quoted).join(" | ")})
        command="\${COMP_WORDS[1]} \${COMP_WORDS[2]}" first=3 ;;
    esac
  fi
  if [[ -z $command ]] && ((COMP_CWORD > 1)); then
    case "\${COMP_WORDS[1]}" in
      ${commandNames.filter((name) => !isOfGroup(name)).join(" | ")}) command=\${COMP_WORDS[1]} first=2 ;;
    esac
  fi
  if [[ -z $command && \${COMP_WORDS[1]} == -* ]]; then command=serve; fi
}

# Sets offers to what the value of a flag can be; to nothing for a switch.
_imagesvc_value() {
  offers=
  case "$command $1" in
${ownFlagCases()}
  esac
  case "$1" in
${settingCases()}
  esac
}

# Sets offers to what the operand of an index can be.
_imagesvc_operand() {
  offers=any
  case "$command $1" in
${operandCases()}
  esac
}

_imagesvc_flags() {
  case "$command" in
${commandNames
  .map(
    (name) =>
      `    ${quoted(name)}) offers="words ${flagsOf(name)
        .map(({ flag }) => flag)
        .join(" ")}" ;;`,
  )
  .join("\n")}
  esac
}

_imagesvc_first_words() {
  offers=any
  if ((COMP_CWORD == 1)); then offers="words ${[...firstWords().keys()].join(" ")} --version --help"; fi
  if ((COMP_CWORD == 2)); then
    case "\${COMP_WORDS[1]}" in
${groups()
  .map((group) => `      ${group}) offers="words ${[...secondWords(group).keys()].join(" ")}" ;;`)
  .join("\n")}
      help) offers="words ${[...firstWords().keys()].join(" ")}" ;;
    esac
  fi
}

# Bash takes "=" for a word of its own: --flag=value are three.
_imagesvc() {
  local command first offers index operand=0 isEnded= flag= cur=\${COMP_WORDS[COMP_CWORD]}
  COMPREPLY=()
  _imagesvc_command
  for ((index = first; index < COMP_CWORD; index++)); do
    local word=\${COMP_WORDS[index]}
    if [[ $word == = ]]; then continue; fi
    if [[ -n $isEnded || $word != -?* ]]; then operand=$((operand + 1)); continue; fi
    if [[ $word == -- ]]; then isEnded=yes; continue; fi
    _imagesvc_value "$word"
    if [[ -z $offers ]]; then continue; fi
    if [[ \${COMP_WORDS[index + 1]} == = ]]; then index=$((index + 1)); fi
    if ((index + 1 >= COMP_CWORD)); then flag=$word; fi
    index=$((index + 1))
  done
  if [[ $cur == = ]]; then cur=; fi
  if [[ -n $flag ]]; then _imagesvc_value "$flag"
  elif ((COMP_CWORD == 1)) && [[ $cur == -* ]]; then _imagesvc_flags; offers+=" --version"
  elif [[ -z $command ]]; then _imagesvc_first_words
  elif [[ -z $isEnded && $cur == -* ]]; then _imagesvc_flags
  else _imagesvc_operand "$operand"
  fi
  case "$offers" in
    words*) mapfile -t COMPREPLY < <(compgen -W "\${offers#words}" -- "$cur") ;;
    files) mapfile -t COMPREPLY < <(compgen -f -- "$cur"); compopt -o filenames 2>/dev/null ;;
    folders) mapfile -t COMPREPLY < <(compgen -d -- "$cur"); compopt -o filenames 2>/dev/null ;;
  esac
}

complete -F _imagesvc imagesvc
`;
}

function isOfGroup(name: CommandName): boolean {
  return name.includes(" ");
}

function quoted(text: string): string {
  return `"${text}"`;
}

/** As the script's `offers` has it. */
function offersText(offers: Offers): string {
  if (offers === undefined) return "any";
  return typeof offers === "string" ? offers : `"words ${offers.join(" ")}"`;
}

/** Options of one command, which may be called like another's. */
function ownFlagCases(): string {
  return commandNames
    .flatMap((name) => {
      const own = Object.keys(commandOf(name).options).map((option) => `--${option}`);
      return flagsOf(name)
        .filter(({ flag, takesValue }) => takesValue && own.includes(flag))
        .map(({ flag, offers }) => `    "${name} ${flag}") offers=${offersText(offers)} ;;`);
    })
    .join("\n");
}

/** Settings, which mean the same everywhere. */
function settingCases(): string {
  const byFlag = new Map<string, OfferedFlag>();
  for (const name of commandNames) {
    const own = Object.keys(commandOf(name).options).map((option) => `--${option}`);
    for (const one of flagsOf(name)) {
      if (one.takesValue && !own.includes(one.flag)) byFlag.set(one.flag, one);
    }
  }
  const flagsByOffers = Map.groupBy(byFlag.values(), ({ offers }) => offersText(offers));
  return [...flagsByOffers]
    .map(
      ([offers, flags]) => `    ${flags.map(({ flag }) => flag).join(" | ")}) offers=${offers} ;;`,
    )
    .join("\n");
}

function operandCases(): string {
  return commandNames
    .flatMap((name) =>
      commandOf(name).operands.map(({ offers, isRepeated }, index) =>
        offers === undefined
          ? undefined
          : `    "${name} "${isRepeated ? "*" : index}) offers=${offersText(offers)} ;;`,
      ),
    )
    .filter((line) => line !== undefined)
    .join("\n");
}
