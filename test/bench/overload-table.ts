/** The table of overload: a row for each load. */
import { goodput, takenMs } from "./open-loop.ts";
import type { LoadRun } from "./overload-run.ts";
import { percentile } from "./statistics.ts";

/** Its two first lines. */
export const overloadTableHead = [
  "| load | sent/s | embedded/s | of that at 1× | not refused, ms | refused | refused, ms | refused, ms by the service's clock | sent late, ms | resident, MB: start, highest, end | event loop late, ms | cores: service, clients | missed: neither embedded nor refused |",
  "|---|---|---|---|---|---|---|---|---|---|---|---|---|",
];

/** @param first the run at 1×. */
export function overloadTableRow(run: LoadRun, first: LoadRun): string {
  const { delay, cores, resident } = run;
  const cells = [
    `${run.multiple}×`,
    ((run.offered * 1000) / run.forMs).toFixed(1),
    goodput(run).toFixed(1),
    (goodput(run) / goodput(first)).toFixed(2),
    tail(takenMs(run), 0),
    String(run.refusedMs.length),
    tail(run.refusedMs, 1),
    tail(run.refusedServerMs, 1),
    tail(run.lateMs, 1),
    resident.map((bytes) => (bytes / 1e6).toFixed(0)).join(", "),
    [delay.p50, delay.p99, delay.longest].map((ms) => ms.toFixed(1)).join(" / "),
    `${cores.service.toFixed(2)}, ${cores.generator.toFixed(2)}`,
    Object.entries(run.errors)
      .map(([what, count]) => `${count} × ${what}`)
      .join("; ") || "none",
  ];
  return `| ${cells.join(" | ")} |`;
}

function tail(values: readonly number[], digits: number): string {
  if (values.length === 0) return "–";
  return [50, 99, 100]
    .map((percent) => percentile(values, percent))
    .map((ms) => (ms === Number.POSITIVE_INFINITY ? "never" : ms.toFixed(digits)))
    .join(" / ");
}
