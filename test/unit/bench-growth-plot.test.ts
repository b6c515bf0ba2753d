import { expect, test } from "bun:test";
import type { ClientGrowth, SizeGrowth } from "../bench/growth.ts";
import { growthPlot } from "../bench/growth-plot.ts";
import { operationsPerImage } from "../bench/hardware.ts";
import type { Observed } from "../bench/load.ts";
import { defaultModel } from "../support/default-model.ts";

function seen(imagesPerS: number, ...tookMs: readonly number[]): Observed {
  return {
    imagesPerS,
    processorMsPerImage: 40,
    stagesMs: new Map(),
    tookMs,
    refused: 0,
    clientMsPerImage: 1,
  };
}

const sizes: readonly SizeGrowth[] = [0.3, 50].map((megapixels) => ({
  megapixels,
  loneMs: [60 + megapixels, 80 + megapixels],
  stagesMs: new Map([["decode", [megapixels]]]),
  observed: [seen(40 - megapixels / 2, 100)],
}));
const clients: readonly ClientGrowth[] = [1, 256].map((count) => ({
  clients: count,
  observed: [seen(30, 20 * count, 21 * count), seen(42, 22 * count)],
}));

test("the plot of growth keeps every mark inside, and shows each number of clients and size", () => {
  const svg = growthPlot(sizes, clients);
  const [, width = "", height = ""] = /viewBox="0 0 (\d+) (\d+)"/.exec(svg) ?? [];
  const marks = [...svg.matchAll(/cx="([-\d.]+)" cy="([-\d.]+)"/g)];
  expect(marks).toHaveLength(12);
  for (const [, x, y] of marks) {
    expect(Number(x)).toBeWithin(0, Number(width));
    expect(Number(y)).toBeWithin(0, Number(height));
  }
  for (const name of ["0.3", "50", "1", "256"]) expect(svg).toContain(`>${name}</text>`);
  expect(svg).not.toContain("NaN");
});

test("an image's operations are those of ViT-B/32, less what only the class token needs in the last layer", () => {
  // fvcore counts 4.4 billion multiplications for the tower of all twelve layers.
  const all = 4.4e9 * 2;
  const operations = operationsPerImage(defaultModel.architecture);
  expect(operations).toBeGreaterThan((all * 11) / 12);
  expect(operations).toBeLessThan(all);
});
