/** The rotation of channels: what every width's keeps, and that onnxruntime's is the same. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { createGraphBuilder } from "../../src/models/onnx/graph.ts";
import { rotate, rotateRows } from "../../src/models/onnx/rotation.ts";
import { relativeDifference } from "../support/difference.ts";
import { runGraph } from "../support/run-graph.ts";

/** An odd number times a power of two, and some vectors of that many numbers. */
const vectors = fc
  .record({
    width: fc.record({ odd: fc.constantFrom(1, 3, 5, 9), power: fc.integer({ min: 0, max: 6 }) }),
    count: fc.integer({ min: 1, max: 3 }),
  })
  .chain(({ width: { odd, power }, count }) => {
    const width = odd * 2 ** power;
    const value = fc.integer({ min: -1000, max: 1000 });
    return fc.record({
      width: fc.constant(width),
      values: fc
        .array(value, { minLength: count * width, maxLength: count * width })
        .map((all) => Float32Array.from(all)),
    });
  });

function rotated(values: Float32Array, width: number, inner = 1): Float32Array<ArrayBuffer> {
  const copy = Float32Array.from(values);
  rotate(copy, width, inner);
  return copy;
}

/** Products of vectors with each other. */
function products(values: Float32Array, width: number): number[] {
  const rows = Array.from({ length: values.length / width }, (_, row) =>
    values.subarray(row * width, (row + 1) * width),
  );
  return rows.flatMap((one) =>
    rows.map((other) => one.reduce((sum, value, index) => sum + value * (other[index] ?? 0), 0)),
  );
}

test("lengths and angles stay what they were", () => {
  fc.assert(
    fc.property(vectors, ({ width, values }) => {
      const before = products(values, width);
      const after = products(rotated(values, width), width);
      const scale = Math.max(1, ...before.map(Math.abs));
      for (const [index, product] of before.entries()) {
        expect(Math.abs(product - (after[index] ?? Number.NaN)) / scale).toBeLessThan(1e-5);
      }
    }),
  );
});

test("a rotation is its own inverse", () => {
  fc.assert(
    fc.property(vectors, ({ width, values }) => {
      const twice = rotated(rotated(values, width), width);
      for (const [index, value] of values.entries()) expect(twice[index]).toBeCloseTo(value, 1);
    }),
  );
});

test("the columns of a matrix are rotated as rows are", () => {
  fc.assert(
    fc.property(vectors, ({ width, values }) => {
      const count = values.length / width;
      const columns = Float32Array.from(
        { length: values.length },
        (_, index) => values[(index % count) * width + Math.floor(index / count)] ?? 0,
      );
      const byRow = rotated(values, width);
      const byColumn = rotated(columns, width, count);
      for (const [index, value] of byColumn.entries()) {
        expect(value).toBe(byRow[(index % count) * width + Math.floor(index / count)] ?? 0);
      }
    }),
  );
});

test("what stands out in one channel of 768 stands out in none", () => {
  for (let channel = 0; channel < 768; channel += 1) {
    const vector = new Float32Array(768);
    vector[channel] = 24;
    rotate(vector, 768);
    // Two thirds of 24 / 16, the root of 256, at most.
    expect(Math.max(...vector.map(Math.abs))).toBeLessThan(1.001);
  }
});

for (const width of [16, 768, 80, 7]) {
  test(`onnxruntime rotates rows of ${width} numbers alike`, async () => {
    const rows = Float32Array.from({ length: 3 * width }, (_, index) => Math.sin(index ** 1.5));
    const graph = createGraphBuilder("rotation");
    const x = graph.input({ name: "x", type: "float32", shape: ["rows", width] });
    graph.node("Identity", [rotateRows(graph, x, width)], {}, "y");
    graph.output({ name: "y", type: "float32", shape: ["rows", width] });
    const got = await runGraph(graph.finish(), rows, [3, width]);
    expect(relativeDifference(got, Array.from(rotated(rows, width)))).toBeLessThan(1e-6);
  });
}
