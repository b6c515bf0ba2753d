/** Fields of a log line: flat, and never bytes, keys or query strings. */
export type LogFields = Readonly<Record<string, string | number | boolean | null | undefined>>;

const levels = { debug: 10, info: 20, warn: 30, error: 40 } as const;
export type LogLevel = keyof typeof levels;

/** Writes one line an event. */
export interface Log {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
}

/** How a line looks: for machines, for a terminal (with or without colours), or for systemd's journal. */
export type LogFormat = "json" | "text" | "colored" | "journal";

interface LogOptions {
  readonly level: LogLevel;
  readonly format: LogFormat;
  /** Takes one finished line, with its line break. */
  readonly write: (line: string) => void;
  /** Time of a line. */
  readonly now: () => Date;
}

/** Makes a log that writes lines at or above `level`. */
export function createLog(options: LogOptions): Log {
  const render = renderers[options.format];
  const at =
    (level: LogLevel) =>
    (message: string, fields: LogFields = {}): void => {
      if (levels[level] < levels[options.level]) return;
      options.write(render(options.now(), level, message, fields));
    };
  return { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
}

interface LineWriterOptions {
  /** Takes a line, and calls back once it is written or has failed. */
  readonly write: (line: string, written: () => void) => void;
  /** UTF-8 bytes that may wait, beside one line. */
  readonly maxHeldBytes: number;
  /** Told once lines are taken again, if any were dropped meanwhile. */
  readonly onResumed: (dropped: number) => void;
}

/** Writes lines, or drops them. */
interface LineWriter {
  readonly write: (line: string) => void;
  /** How many were dropped since it was made. */
  readonly dropped: () => number;
}

/**
 * Makes a writer of lines that drops them while whoever reads takes too few: a stream holds in memory what a
 * full pipe does not take. Bun tells of such lines only when the last of them is written, so that a reader that is
 * merely slow loses lines until it has caught up.
 */
export function createLineWriter(options: LineWriterOptions): LineWriter {
  const { write, maxHeldBytes, onResumed } = options;
  let heldBytes = 0;
  let dropped = 0;
  let droppedEver = 0;
  function writeLine(line: string): void {
    if (dropped > 0 || heldBytes >= maxHeldBytes) {
      dropped += 1;
      droppedEver += 1;
      return;
    }
    const bytes = Buffer.byteLength(line);
    heldBytes += bytes;
    write(line, () => {
      heldBytes -= bytes;
      if (dropped === 0 || heldBytes > 0) return;
      const count = dropped;
      dropped = 0;
      onResumed(count);
    });
  }
  return { write: writeLine, dropped: () => droppedEver };
}

/** Where a log goes, as far as it decides about the format. */
interface LogSurroundings {
  /** systemd's `$JOURNAL_STREAM`: device and inode, in decimal, of the stream that ends in the journal. */
  readonly journalStream: string | undefined;
  /** fstat(2) of the stream that is written to. */
  readonly stream: { readonly dev: bigint; readonly ino: bigint } | undefined;
  readonly isTerminal: boolean;
  /** Any text but the empty one means no colours. */
  readonly noColor: string | undefined;
}

/**
 * The format of a log where nobody chose one, and its colours.
 *
 * @see systemd.exec(5), `$JOURNAL_STREAM`; https://no-color.org
 */
export function chooseFormat(
  chosen: "auto" | "json" | "text" | "journal",
  { journalStream, stream, isTerminal, noColor }: LogSurroundings,
): LogFormat {
  const isJournal = stream !== undefined && journalStream === `${stream.dev}:${stream.ino}`;
  const automatic = isJournal ? "journal" : isTerminal ? "text" : "json";
  const format = chosen === "auto" ? automatic : chosen;
  return format === "text" && isTerminal && !noColor ? "colored" : format;
}

type Render = (time: Date, level: LogLevel, message: string, fields: LogFields) => string;

const renderers: Readonly<Record<LogFormat, Render>> = {
  json: (time, level, message, fields) =>
    `${JSON.stringify({ time: time.toISOString(), level, message, ...fields })}\n`,
  text: (time, level, message, fields) =>
    `${timeOfDay(time)} ${level.padEnd(5)} ${oneLine(message, fields)}\n`,
  colored: (time, level, message, fields) =>
    `${timeOfDay(time)} ${colors[level]}${level.padEnd(5)}\u001b[0m ${oneLine(message, fields)}\n`,
  // The journal keeps the time itself, and takes the number of syslog(3) away.
  journal: (_time, level, message, fields) =>
    `<${priorities[level]}>${level.padEnd(5)} ${oneLine(message, fields)}\n`,
};

/** ANSI: grey, green, yellow, red. */
const colors = {
  debug: "\u001b[90m",
  info: "\u001b[32m",
  warn: "\u001b[33m",
  error: "\u001b[31m",
} as const satisfies Record<LogLevel, string>;

/** sd-daemon(3): `SD_DEBUG`, `SD_INFO`, `SD_WARNING`, `SD_ERR`. */
const priorities = { debug: 7, info: 6, warn: 4, error: 3 } as const satisfies Record<
  LogLevel,
  number
>;

function timeOfDay(time: Date): string {
  return time.toISOString().slice(11, 19);
}

function oneLine(message: string, fields: LogFields): string {
  const pairs = Object.entries(fields)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => ` ${key}=${typeof value === "string" ? JSON.stringify(value) : value}`);
  return message.trim().replaceAll(/\s*[\r\n]\s*/g, " ") + pairs.join("");
}
