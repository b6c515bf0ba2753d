/** How far long work is: a bar on a terminal, a line now and then elsewhere. */

/** What is counted, such as MB of 1,000,000 bytes. */
export interface Unit {
  readonly name: string;
  readonly size: number;
}

export const megabytes: Unit = { name: "MB", size: 1e6 };

/** One piece of long work. */
export interface Progress {
  /**
   * @param total where it is known.
   * @param note what else there is to say, such as `3 failed`.
   */
  show(done: number, total?: number, note?: string): void;
  /** Takes the bar away; what is written next begins a line. */
  end(): void;
}

interface ProgressOptions {
  /** Writes text as it stands. */
  readonly write: (text: string) => void;
  readonly isTerminal: boolean;
  /** ms on any scale. */
  readonly now: () => number;
}

/** Begins to show how far some work is. */
export type StartProgress = (unit: Unit) => Progress;

const barChars = 24;
const redrawMs = 200;
const lineMs = 10_000;

/** Makes the function that begins. */
export function createProgress({ write, isTerminal, now }: ProgressOptions): StartProgress {
  return (unit) => {
    const startedAt = now();
    let shownAt = isTerminal ? Number.NEGATIVE_INFINITY : startedAt;
    let startedWith: number | undefined;
    let isDrawn = false;
    return {
      show: (done, total, note) => {
        // What a resumed download had already is no part of the rate.
        startedWith ??= done;
        const at = now();
        if (at - shownAt < (isTerminal ? redrawMs : lineMs)) return;
        shownAt = at;
        const perMs = (done - startedWith) / Math.max(1, at - startedAt);
        const noted = note === undefined ? "" : `, ${note}`;
        const text = `${describe(done, total, perMs, unit)}${noted}`;
        write(isTerminal ? `\r\x1b[K${bar(done, total)}${text}` : `${text}\n`);
        isDrawn = isTerminal;
      },
      end: () => {
        if (isDrawn) write("\r\x1b[K");
        isDrawn = false;
      },
    };
  };
}

function bar(done: number, total: number | undefined): string {
  if (total === undefined || total === 0) return "";
  const filled = Math.round(Math.min(1, done / total) * barChars);
  return `[${"#".repeat(filled)}${".".repeat(barChars - filled)}] `;
}

function describe(done: number, total: number | undefined, perMs: number, unit: Unit): string {
  const amount = (units: number) => (units / unit.size).toFixed(unit.size === 1 ? 0 : 1);
  const rate = `${((perMs * 1000) / unit.size).toFixed(1)} ${unit.name}/s`;
  if (total === undefined) return `${amount(done)} ${unit.name}, ${rate}`;
  const percent = Math.floor((100 * done) / Math.max(1, total));
  const left = perMs > 0 ? `, ${duration((total - done) / perMs)} left` : "";
  return `${percent} %, ${amount(done)} of ${amount(total)} ${unit.name}, ${rate}${left}`;
}

/** @param ms as `2 h 5 min`, `5 min 3 s` or `3 s`. */
function duration(ms: number): string {
  const seconds = Math.ceil(ms / 1000);
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor((seconds % 3600) / 60)];
  if (hours > 0) return `${hours} h ${minutes} min`;
  return minutes > 0 ? `${minutes} min ${seconds % 60} s` : `${seconds} s`;
}
