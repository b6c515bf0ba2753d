/** What a command is called with. */
import type { Config, SettingName } from "../config.ts";
import type { Log } from "../log.ts";
import type { Folders } from "../store/folders.ts";
import type { StartProgress } from "./progress.ts";

/** Names and texts of the environment, as the process got them. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** One call of a command. It answers its exit code: 0 done, 1 failed, 2 wrong usage, 130 interrupted. */
export interface CommandCall {
  readonly operands: readonly string[];
  /** The options that were given: a text, or true for a switch. */
  readonly options: ReadonlyMap<string, string | true>;
  /** Texts of the settings that were given as flags; `config` has their values. */
  readonly flags: Readonly<Partial<Record<SettingName, string>>>;
  readonly config: Config;
  readonly environment: Environment;
  readonly folders: Folders;
  /** Writes data to stdout; resolves once it is with the reader. */
  readonly print: (text: string | Uint8Array) => Promise<void>;
  /** Writes one line for people to stderr. */
  readonly tell: (line: string) => void;
  /** Whether somebody reads stderr on a terminal, and has not asked for a form of the log. */
  readonly isWatched: boolean;
  /** Begins to show on stderr how far long work is. */
  readonly startProgress: StartProgress;
  /** Events, on stderr. */
  readonly log: Log;
  /** Events that nobody read in time, since the process began. */
  readonly droppedLogLines: () => number;
  /** Aborts at the first SIGINT or SIGTERM: the command then ends soon, with 130, and leaves nothing half-done. */
  readonly interrupted: AbortSignal;
}
