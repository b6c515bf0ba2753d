/** What the plots are drawn with: readable on light and on dark pages, without scripts or fonts of their own. */

/** Classes: `title` and `small` of texts, `axis`, `grid` and `wanted` of lines, `good` and `other` of what is shown. */
export const plotStyle = [
  "text{font:13px system-ui,sans-serif;fill:#1f2328}.small{font-size:12px;fill:#59636e}.title{font-weight:600;font-size:14px}",
  ".axis{stroke:#59636e}.grid{stroke:#d1d9e0}.wanted{stroke:#59636e;stroke-dasharray:5 4}",
  ".good{fill:#0969da;stroke:#0969da}.other{fill:#bc4c00;stroke:#bc4c00}path{stroke-width:2}path.good,path.other{fill:none}",
  ".light{stroke-dasharray:2 4}circle.light{stroke-dasharray:none}text.good,text.other{stroke:none}",
  "@media(prefers-color-scheme:dark){text{fill:#f0f6fc}.small{fill:#9198a1}.axis,.wanted{stroke:#9198a1}.grid{stroke:#3d444d}.good{fill:#4493f8;stroke:#4493f8}.other{fill:#f0883e;stroke:#f0883e}}",
].join("");

/**
 * A whole SVG.
 *
 * @param label says to whoever cannot see it what it shows.
 */
export function svgDocument(
  { width, height, label }: { width: number; height: number; label: string },
  style: string,
  parts: Iterable<string>,
): string {
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-label="${label}">`,
    `<style>${style}</style>`,
    ...parts,
    "</svg>",
    "",
  ].join("\n");
}

export function svgText(
  x: number,
  y: number,
  words: string,
  className: string,
  anchor = "start",
): string {
  return `<text x="${svgNumber(x)}" y="${svgNumber(y)}" class="${className}" text-anchor="${anchor}">${words}</text>`;
}

export function svgLine(x1: number, y1: number, x2: number, y2: number, className: string): string {
  const [a, b, c, d] = [x1, y1, x2, y2].map(svgNumber);
  return `<line class="${className}" x1="${a}" y1="${b}" x2="${c}" y2="${d}"/>`;
}

/** A line through points, each marked with a dot. */
export function* svgPath(
  points: readonly (readonly [number, number])[],
  className: string,
): Generator<string> {
  const path = points.map(
    ([x, y], index) => `${index === 0 ? "M" : "L"}${svgNumber(x)} ${svgNumber(y)}`,
  );
  yield `<path class="${className}" d="${path.join("")}"/>`;
  for (const [x, y] of points) {
    yield `<circle class="${className}" cx="${svgNumber(x)}" cy="${svgNumber(y)}" r="3.5"/>`;
  }
}

export function svgNumber(value: number): string {
  return value.toFixed(1);
}
