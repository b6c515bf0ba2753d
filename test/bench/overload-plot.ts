/** The figure of overload as an SVG that is readable on light and on dark pages. */
import { goodput, takenMs } from "./open-loop.ts";
import type { LoadRun } from "./overload-run.ts";
import { percentile } from "./statistics.ts";
import { plotStyle, svgDocument, svgLine, svgNumber, svgPath, svgText } from "./svg.ts";

const width = 960;
const height = 340;
const panel = { top: 64, bottom: 268, width: 300 };
const lefts = { rate: 76, time: 492 };

/** Axis of ms, by powers of ten. */
const time = { least: 0.1, most: 100_000 };

interface Mark {
  readonly label: string;
  readonly className: string;
  readonly of: (run: LoadRun) => number | undefined;
}

const times: readonly Mark[] = [
  { label: "not refused, p99", className: "good", of: (run) => at(takenMs(run), 99) },
  { label: "refused, longest", className: "other", of: (run) => at(run.refusedMs, 100) },
  { label: "refused, median", className: "other light", of: (run) => at(run.refusedMs, 50) },
];

/** Draws what is embedded a second, and how long answers take, over the load. */
export function overloadPlot(runs: readonly LoadRun[]): string {
  const label = "Embedded images a second and the time of answers, over the load";
  return svgDocument({ width, height, label }, plotStyle, [...ratePanel(runs), ...timePanel(runs)]);
}

function* ratePanel(runs: readonly LoadRun[]): Generator<string> {
  const left = lefts.rate;
  const rates = runs.map(goodput);
  const most = Math.ceil((Math.max(...rates) * 1.15) / 10) * 10;
  const y = (rate: number) => panel.bottom - (rate / most) * (panel.bottom - panel.top);
  yield svgText(left, 28, "Embedded images a second", "title");
  yield svgText(left, 46, "while so many requests come, whether or not answers do", "small");
  for (let tick = 0; tick <= most; tick += 10) yield* gridLine(left, y(tick), String(tick));
  const wanted = 0.9 * (rates[0] ?? 0);
  for (const [index, run] of runs.entries()) {
    const rate = goodput(run);
    const x = columnOf(left, index, runs.length);
    yield `<rect class="good" x="${svgNumber(x - 22)}" y="${svgNumber(y(rate))}" width="44" height="${svgNumber(panel.bottom - y(rate))}"/>`;
    yield svgText(x, y(rate) - 6, rate.toFixed(1), "", "middle");
  }
  yield svgLine(left, y(wanted), left + panel.width, y(wanted), "wanted");
  yield svgText(left + panel.width + 4, y(wanted) + 4, "0.9 of 1×", "small");
  yield* loadAxis(left, runs);
}

function* timePanel(runs: readonly LoadRun[]): Generator<string> {
  const left = lefts.time;
  const decades = Math.log10(time.most / time.least);
  const y = (ms: number) => {
    const shown = Math.min(Math.max(ms, time.least), time.most);
    const share = Math.log10(shown / time.least) / decades;
    return panel.bottom - share * (panel.bottom - panel.top);
  };
  yield svgText(left, 28, "Time until the answer", "title");
  yield svgText(left, 46, "from the scheduled time; each line is ten times the one below", "small");
  for (let ms = time.least; ms <= time.most * 1.01; ms *= 10) {
    yield* gridLine(left, y(ms), ms >= 1000 ? `${ms / 1000} s` : `${Number(ms.toPrecision(1))} ms`);
  }
  yield svgLine(left, y(50), left + panel.width, y(50), "wanted");
  yield svgText(left + 4, y(50) - 5, "50 ms", "small");
  for (const mark of times) yield* timeLine(runs, mark, y);
  yield* loadAxis(left, runs);
}

function* timeLine(
  runs: readonly LoadRun[],
  { label, className, of }: Mark,
  y: (ms: number) => number,
): Generator<string> {
  const points = runs.flatMap((run, index) => {
    const ms = of(run);
    return ms === undefined ? [] : [[columnOf(lefts.time, index, runs.length), y(ms)] as const];
  });
  yield* svgPath(points, className);
  const last = points.at(-1);
  if (last === undefined) return;
  const hue = className.split(" ", 1)[0] ?? "";
  yield svgText(last[0] + 12, last[1] + 4, label, hue);
}

function* loadAxis(left: number, runs: readonly LoadRun[]): Generator<string> {
  yield svgLine(left, panel.bottom, left + panel.width, panel.bottom, "axis");
  for (const [index, { multiple, offered, forMs }] of runs.entries()) {
    const x = columnOf(left, index, runs.length);
    yield svgText(x, panel.bottom + 18, `${multiple}×`, "", "middle");
    yield svgText(
      x,
      panel.bottom + 34,
      `${((offered * 1000) / forMs).toFixed(0)}/s`,
      "small",
      "middle",
    );
  }
  const middle = left + panel.width / 2;
  yield svgText(
    middle,
    panel.bottom + 56,
    "load, over capacity and in requests a second",
    "small",
    "middle",
  );
}

function* gridLine(left: number, y: number, label: string): Generator<string> {
  yield svgLine(left, y, left + panel.width, y, "grid");
  yield svgText(left - 8, y + 4, label, "small", "end");
}

/** Middle of a load's column: the loads are apart alike, whatever their numbers. */
function columnOf(left: number, index: number, count: number): number {
  return left + ((index + 0.5) * panel.width) / count;
}

function at(values: readonly number[], percent: number): number | undefined {
  return values.length === 0 ? undefined : percentile(values, percent);
}
