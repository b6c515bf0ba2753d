/**
 * Loaded before a process's own code (`bun --preload`): watches how late the event loop of its main
 * thread is, and tells the process that started it. So a service is measured as it is. It begins to watch when it is
 * first asked to, since that wakes the thread two hundred times a second.
 */
import { monitorEventLoopDelay } from "node:perf_hooks";
import { answerQuestions } from "./child.ts";

/** `reset` begins to watch, and forgets what was seen so far. */
export type ProbeQuestion = "reset" | "report";

/** How many ms later than due a timer of 5 ms ran. */
export interface EventLoopDelay {
  readonly p50: number;
  readonly p99: number;
  readonly longest: number;
}

const delay = monitorEventLoopDelay({ resolution: 5 });

answerQuestions((question: ProbeQuestion): EventLoopDelay => {
  const [p50 = 0, p99 = 0] = [50, 99].map((percent) => delay.percentile(percent) / 1e6);
  const longest = delay.max / 1e6;
  if (question === "reset") {
    delay.enable();
    delay.reset();
  }
  return { p50, p99, longest };
});
