/**
 * Loaded before a process's own code (`bun --preload`): watches how late the event loop of its main
 * thread is, and tells the process that started it. So a service is measured as it is.
 */
import { monitorEventLoopDelay } from "node:perf_hooks";
import { answerQuestions } from "./child.ts";

/** `reset` forgets what was seen so far. */
export type ProbeQuestion = "reset" | "report";

/** How many ms later than due a timer of 5 ms ran. */
export interface EventLoopDelay {
  readonly p50: number;
  readonly p99: number;
  readonly longest: number;
}

const delay = monitorEventLoopDelay({ resolution: 5 });
delay.enable();

answerQuestions((question: ProbeQuestion): EventLoopDelay => {
  const [p50 = 0, p99 = 0] = [50, 99].map((percent) => delay.percentile(percent) / 1e6);
  const longest = delay.max / 1e6;
  if (question === "reset") delay.reset();
  return { p50, p99, longest };
});
