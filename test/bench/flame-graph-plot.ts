/** A flame graph as a static SVG: widths are shares of processor time, and what was called lies above its caller. */
import type { Part } from "./perf-samples.ts";
import { plotStyle, svgDocument, svgNumber, svgText } from "./svg.ts";

const width = 960;
const margin = 12;
const row = 34;
const headHeight = 86;
const leastWidth = 0.4;
const characterWidth = 6.8;

const style = [
  plotStyle,
  "rect{stroke:#fff;stroke-width:.7}.box{fill:#1f2328;font-size:12px}",
  ".root{fill:#d1d9e0}.thread{fill:#b6c2cf}.onnxruntime{fill:#80b3ff}.decode{fill:#ffb77c}.script{fill:#f2d675}.engine{fill:#e8b4c8}.rest{fill:#c9c9c9}",
  "@media(prefers-color-scheme:dark){rect{stroke:#0d1117}text.box{fill:#1f2328}}",
].join("");

/** Draws where the time of a saturated service goes. */
export function flameGraph(root: Part, subtitle: string): string {
  const height = headHeight + row * depthOf(root) + margin;
  const scale = (width - 2 * margin) / root.samples;
  const label = "Where the processor time of the saturated service goes";
  return svgDocument({ width, height, label }, style, [
    svgText(margin, 26, label, "title"),
    svgText(margin, 46, subtitle, "small"),
    ...legend(),
    ...boxes({ part: root, x: margin, level: 0, hue: "root" }),
  ]);

  function* boxes(at: Box): Generator<string> {
    const { part, x, level, hue } = at;
    const boxWidth = part.samples * scale;
    if (boxWidth < leastWidth) return;
    const y = height - margin - (level + 1) * row;
    const share = `${((100 * part.samples) / root.samples).toFixed(1)} %`;
    const rectangle = `<rect class="${hue}" x="${svgNumber(x)}" y="${y}" width="${svgNumber(boxWidth)}" height="${row - 2}" rx="2"><title>${part.name}: ${share} of the samples</title></rect>`;
    yield rectangle;
    const words = fitting(`${part.name} ${share}`, boxWidth) ?? fitting(part.name, boxWidth);
    if (words !== undefined)
      yield svgText(x + boxWidth / 2, y + row / 2 + 3, words, "box", "middle");
    let left = x;
    for (const inner of part.parts) {
      yield* boxes({
        part: inner,
        x: left,
        level: level + 1,
        hue: level === 0 ? "thread" : level === 1 ? hueOf(inner.name) : hue,
      });
      left += inner.samples * scale;
    }
  }
}

const hues: readonly (readonly [hue: string, name: string])[] = [
  ["onnxruntime", "onnxruntime"],
  ["decode", "libvips"],
  ["script", "JavaScript and WebAssembly"],
  ["engine", "Bun"],
  ["rest", "kernel and libc"],
];

/** Names what the colours of boxes that are too narrow for words stand for. */
function* legend(): Generator<string> {
  let x = margin;
  for (const [hue, name] of hues) {
    yield `<rect class="${hue}" x="${svgNumber(x)}" y="58" width="12" height="12" rx="2"/>`;
    yield svgText(x + 17, 69, name, "small");
    x += 40 + name.length * characterWidth;
  }
}

interface Box {
  readonly part: Part;
  readonly x: number;
  readonly level: number;
  readonly hue: string;
}

function fitting(words: string, boxWidth: number): string | undefined {
  return words.length * characterWidth < boxWidth - 6 ? words : undefined;
}

function depthOf(part: Part): number {
  return 1 + Math.max(0, ...part.parts.map(depthOf));
}

function hueOf(name: string): string {
  if (name.startsWith("onnxruntime")) return "onnxruntime";
  if (name.startsWith("libvips")) return "decode";
  if (name.startsWith("JavaScript")) return "script";
  return name.startsWith("Bun") ? "engine" : "rest";
}
