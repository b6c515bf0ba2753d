/** What an operator can mend about the folder of the models. */
import { messageOf } from "../errors.ts";

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
      return "MODELS_DIR cannot be written to: give it to the user of the service, or choose another folder.";
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
