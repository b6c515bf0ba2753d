/** Processes of their own, so that what is measured shares no thread and no heap with its measuring. */
import { fileURLToPath } from "node:url";

/** A Bun process that answers questions, one at a time. */
export interface Child<Question, Answer> extends AsyncDisposable {
  readonly pid: number;
  /** @throws Error when the process ends before it has answered. */
  ask(question: Question): Promise<Answer>;
}

export interface ChildOptions {
  /** What `bun` runs, and its arguments. */
  readonly args: readonly string[];
  /** All that the process sees of the environment; nothing unless told. */
  readonly environment?: Readonly<Record<string, string>>;
  /** File that takes what the process writes to stderr; ours unless told. */
  readonly logPath?: string;
}

/** Starts one; it is ended, and waited for, when it is disposed of. */
export function startChild<Question, Answer>(options: ChildOptions): Child<Question, Answer> {
  const { args, environment = {}, logPath } = options;
  let answered: (answer: Answer) => void = () => {};
  const child = Bun.spawn([process.execPath, ...args], {
    cwd: fileURLToPath(new URL("../..", import.meta.url)),
    env: environment,
    stdio: ["ignore", "ignore", logPath === undefined ? "inherit" : Bun.file(logPath)],
    ipc: (answer: Answer) => answered(answer),
  });
  const ended = child.exited.then((code) => {
    throw new Error(`a process ended with code ${code}: ${args.join(" ")}`);
  });
  ended.catch(() => {});
  return {
    pid: child.pid,
    ask: (question) => {
      const answer = new Promise<Answer>((resolve) => {
        answered = resolve;
      });
      child.send(question);
      return Promise.race([answer, ended]);
    },
    [Symbol.asyncDispose]: async () => {
      child.kill("SIGTERM");
      await child.exited;
    },
  };
}

/** The child's end: answers every question of the process that started it, and ends with it. */
export function answerQuestions<Question, Answer>(
  answer: (question: Question) => Answer | Promise<Answer>,
): void {
  process.on("message", async (question: Question) => {
    process.send?.(await answer(question));
  });
  process.on("disconnect", () => process.exit(1));
}
