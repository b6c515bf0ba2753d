/** `imagesvc completions bash|zsh`: what a shell offers while somebody types. */
import type { CommandCall } from "./command-call.ts";
import { bashCompletion } from "./completions/bash.ts";
import { zshCompletion } from "./completions/zsh.ts";

/** Prints the script of a shell; its first lines say how it is put to use. */
export async function runCompletions({ operands, print }: CommandCall): Promise<number> {
  await print(operands[0] === "zsh" ? zshCompletion() : bashCompletion());
  return 0;
}
