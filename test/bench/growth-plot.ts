/** How cost grows as an SVG that is readable on light and on dark pages. */
import type { ClientGrowth, SizeGrowth } from "./growth.ts";
import { median, percentile } from "./statistics.ts";
import { plotStyle, svgDocument, svgLine, svgPath, svgText } from "./svg.ts";
import { rateOf } from "./throughput.ts";

const width = 960;
const height = 640;
const panelSize = { width: 360, height: 200 };
const lefts = [70, 530] as const;
const tops = [62, 372] as const;

/** One panel: points over categories that are apart alike, whatever their numbers. */
interface Panel {
  readonly left: number;
  readonly top: number;
  readonly title: string;
  readonly subtitle: string;
  readonly below: string;
  readonly names: readonly string[];
  readonly lines: readonly Line[];
  /** Each line of the grid is ten times the one below. */
  readonly isLogarithmic?: boolean;
}

interface Line {
  readonly name: string;
  readonly className: "good" | "other";
  readonly values: readonly number[];
  /** Least and most of each, where they are known. */
  readonly ranges?: readonly (readonly [number, number])[];
}

/** Draws images a second and ms, over clients and over the size of photos. */
export function growthPlot(sizes: readonly SizeGrowth[], clients: readonly ClientGrowth[]): string {
  const clientNames = clients.map(({ clients: count }) => String(count));
  const sizeNames = sizes.map(({ megapixels }) => String(megapixels));
  const took = (percent: number) =>
    clients.map(({ observed }) =>
      percentile(
        observed.flatMap(({ tookMs }) => tookMs),
        percent,
      ),
    );
  const panels: readonly Panel[] = [
    {
      left: lefts[0],
      top: tops[0],
      title: "Images a second",
      subtitle: "over clients, each of which sends its next when it has its answer",
      below: "clients",
      names: clientNames,
      lines: [ratesOf(clients)],
    },
    {
      left: lefts[1],
      top: tops[0],
      title: "Time until the answer",
      subtitle: "of requests that were not refused",
      below: "clients",
      names: clientNames,
      lines: [
        { name: "p99", className: "other", values: took(99) },
        { name: "p50", className: "good", values: took(50) },
      ],
      isLogarithmic: true,
    },
    {
      left: lefts[0],
      top: tops[1],
      title: "Images a second",
      subtitle: "over the size of photos, 8 clients",
      below: "megapixels of a JPEG",
      names: sizeNames,
      lines: [ratesOf(sizes)],
    },
    {
      left: lefts[1],
      top: tops[1],
      title: "Time until the answer",
      subtitle: "of a photo when nobody else asks",
      below: "megapixels of a JPEG",
      names: sizeNames,
      lines: [
        {
          name: "all",
          className: "good",
          values: sizes.map(({ loneMs }) => median(loneMs)),
          ranges: sizes.map(({ loneMs }) => rangeOf(loneMs)),
        },
        {
          name: "decode",
          className: "other",
          values: sizes.map(({ stagesMs }) => median(stagesMs.get("decode") ?? [0])),
        },
      ],
      isLogarithmic: true,
    },
  ];
  const label = "Images a second and the time of answers, over clients and over the size of photos";
  const parts = panels.flatMap((panel) => [...drawPanel(panel)]);
  return svgDocument({ width, height, label }, plotStyle, parts);
}

function ratesOf(grown: readonly (SizeGrowth | ClientGrowth)[]): Line {
  const rates = grown.map(({ observed }) => observed.map(rateOf));
  return { name: "", className: "good", values: rates.map(median), ranges: rates.map(rangeOf) };
}

function rangeOf(values: readonly number[]): readonly [number, number] {
  return [Math.min(...values), Math.max(...values)];
}

function* drawPanel(panel: Panel): Generator<string> {
  const { left, top, title, subtitle, names, lines, below } = panel;
  const bottom = top + panelSize.height;
  const { ticks, yOf } = scaleOf(panel);
  const xOf = (index: number) => left + ((index + 0.5) * panelSize.width) / names.length;
  yield svgText(left, top - 34, title, "title");
  yield svgText(left, top - 16, subtitle, "small");
  for (const tick of ticks) {
    yield svgLine(left, yOf(tick), left + panelSize.width, yOf(tick), "grid");
    yield svgText(left - 8, yOf(tick) + 4, tickName(tick, panel), "small", "end");
  }
  yield svgLine(left, bottom, left + panelSize.width, bottom, "axis");
  for (const [index, name] of names.entries())
    yield svgText(xOf(index), bottom + 18, name, "", "middle");
  yield svgText(left + panelSize.width / 2, bottom + 38, below, "small", "middle");
  // The first line lies above the second: so do their names.
  for (const [index, one] of lines.entries()) yield* drawLine(one, xOf, yOf, index * 14 - 3);
}

function* drawLine(
  { name, className, values, ranges = [] }: Line,
  xOf: (index: number) => number,
  yOf: (value: number) => number,
  nameBelow: number,
): Generator<string> {
  for (const [index, [least, most]] of ranges.entries()) {
    yield svgLine(xOf(index), yOf(least), xOf(index), yOf(most), className);
  }
  const points = values.map((value, index) => [xOf(index), yOf(value)] as const);
  yield* svgPath(points, className);
  const last = points.at(-1);
  if (last !== undefined) yield svgText(last[0] + 10, last[1] + nameBelow, name, className);
}

/** Lines of the grid, and where values lie. */
function scaleOf({ lines, top, isLogarithmic = false }: Panel) {
  const bottom = top + panelSize.height;
  const all = lines.flatMap(({ values, ranges = [] }) => [...values, ...ranges.flat()]);
  const most = Math.max(...all);
  if (!isLogarithmic) {
    const step = stepOf(most);
    const highest = Math.ceil(most / step) * step;
    return {
      ticks: Array.from({ length: Math.round(highest / step) + 1 }, (_, tick) => tick * step),
      yOf: (value: number) => bottom - (value / highest) * panelSize.height,
    };
  }
  const [first, last] = [
    Math.floor(Math.log10(Math.max(Math.min(...all), 0.1))),
    Math.ceil(Math.log10(most)),
  ];
  return {
    ticks: Array.from({ length: last - first + 1 }, (_, decade) => 10 ** (first + decade)),
    yOf: (value: number) => {
      const share = (Math.log10(Math.max(value, 10 ** first)) - first) / (last - first);
      return bottom - share * panelSize.height;
    },
  };
}

/** Between four and ten lines of a grid up to `most`. */
function stepOf(most: number): number {
  const decade = 10 ** Math.floor(Math.log10(most));
  const fraction = most / decade;
  return fraction > 5 ? decade : fraction > 2 ? decade / 2 : decade / 5;
}

function tickName(tick: number, { isLogarithmic = false }: Panel): string {
  if (!isLogarithmic) return String(tick);
  return tick >= 1000 ? `${tick / 1000} s` : `${tick} ms`;
}
