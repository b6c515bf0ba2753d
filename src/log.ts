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

interface LogOptions {
  readonly level: LogLevel;
  readonly format: "json" | "text";
  /** Takes one finished line, with its line break. */
  readonly write: (line: string) => void;
  /** Time of a line. */
  readonly now: () => Date;
}

/** Makes a log that writes lines at or above `level`. */
export function createLog(options: LogOptions): Log {
  const render = options.format === "json" ? renderJson : renderText;
  const at =
    (level: LogLevel) =>
    (message: string, fields: LogFields = {}): void => {
      if (levels[level] < levels[options.level]) return;
      options.write(render(options.now(), level, message, fields));
    };
  return { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
}

function renderJson(time: Date, level: LogLevel, message: string, fields: LogFields): string {
  return `${JSON.stringify({ time: time.toISOString(), level, message, ...fields })}\n`;
}

function renderText(time: Date, level: LogLevel, message: string, fields: LogFields): string {
  const pairs = Object.entries(fields)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => ` ${key}=${typeof value === "string" ? JSON.stringify(value) : value}`);
  const oneLine = message.trim().replaceAll(/\s*[\r\n]\s*/g, " ");
  return `${time.toISOString().slice(11, 19)} ${level.padEnd(5)} ${oneLine}${pairs.join("")}\n`;
}
