/** What an operator can mend about the folder of the models. */
import { basename } from "node:path";
import { codeOf, messageOf } from "../errors.ts";

/**
 * One sentence, with the mend, for an error of the file system: also for one that came from a worker,
 * which has lost its code on the way but not its message.
 *
 * @returns undefined for an error of another kind.
 */
export function modelsFolderFault(error: unknown): string | undefined {
  switch (/^(E[A-Z]+): /.exec(messageOf(error))?.[1]) {
    case "EACCES":
    case "EPERM":
      return "MODELS_DIR cannot be read and written: give it to the user of the service, or choose another folder.";
    case "EIO":
      return "The disk of MODELS_DIR fails: look into the system's log, and choose another folder.";
    case "EROFS":
      return "MODELS_DIR is read-only: choose another folder, or allow writing to it.";
    case "ENOSPC":
    case "EDQUOT":
      return "The disk of MODELS_DIR is full: free space, or choose another folder.";
    case "EEXIST":
    case "ENOENT":
    case "ENOTDIR":
      return "MODELS_DIR cannot be made a folder: choose another path.";
    default:
      return undefined;
  }
}

/**
 * One clause, with the mend, for a file that cannot be read.
 *
 * @throws an error of another kind, as it is.
 */
export function unreadableFault(error: unknown): string {
  const code = codeOf(error);
  if (!["EACCES", "EPERM", "EIO"].includes(code)) throw error;
  const path = error instanceof Error && "path" in error ? String(error.path) : "a file";
  const mend = code === "EIO" ? "look into the system's log" : "let the user who runs this read it";
  return `${basename(path)} cannot be read (${code}): ${mend}`;
}
