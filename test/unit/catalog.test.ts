import { expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { catalog, knownSource, type ModelDescription } from "../../src/models/catalog.ts";
import type { ClipArchitecture } from "../../src/models/onnx/architecture.ts";
import { imageTower } from "../../src/models/onnx/image-tower.ts";
import { encodeModel } from "../../src/models/onnx/model-proto.ts";
import { clipNormalization } from "../../src/models/onnx/pixel-codes.ts";
import { elementCount } from "../../src/models/onnx/tensor-source.ts";
import { textTower } from "../../src/models/onnx/text-tower.ts";

const models: [string, ModelDescription][] = Object.entries(catalog);

test("every model's weights are at a commit, and known by size and digest together or not at all", () => {
  for (const [, { source, onnx }] of models) {
    expect(source.repository).toMatch(/^[\w.-]+\/[\w.-]+$/);
    expect(source.revision).toMatch(/^[0-9a-f]{40}$/);
    expect(source.bytes === undefined).toBe(source.sha256 === undefined);
    for (const facts of [source, onnx?.image, onnx?.text]) {
      if (facts?.sha256 === undefined) continue;
      expect(facts.sha256).toMatch(/^[0-9a-f]{64}$/);
      expect(facts.bytes).toBeGreaterThan(0);
    }
  }
});

test("every model's numbers fit together", () => {
  for (const [, { architecture, preprocessing }] of models) {
    const { vision, text } = architecture;
    expect(vision.side % vision.patch).toBe(0);
    expect(vision.width % vision.heads).toBe(0);
    expect(text.width % text.heads).toBe(0);
    expect(text.endToken).toBeLessThan(text.vocabulary);
    expect(preprocessing.mean).toHaveLength(3);
    expect(preprocessing.std).toHaveLength(3);
  }
});

/**
 * A model's golden values: its parameters as its publisher counts them, and the digest of both graphs.
 * If a graph must change, raise `GRAPH_VERSION` and `SYNTHETIC_VERSION` too.
 */
const golden: Readonly<Record<string, readonly [parameters: number, graphs: string]>> = {
  "clip-ViT-B-32": [
    151_277_313,
    "7576c8e30ff8ab01eec3bcef824bafe338dc910a6312c2139f9373389b5c1471",
  ],
  "clip-ViT-B-16": [
    149_620_737,
    "0898aac29cd8a5e2e1b28169f9a79304e1cb3de58366447b6d4ceea936e388d8",
  ],
  "clip-ViT-L-14": [
    427_616_513,
    "17c3e8651ea3feafba9763d2f2bb8f7be7efe784cd327f209d84bb531412083f",
  ],
};

test("every model has golden values, and its graph reads as many parameters as were published", () => {
  expect(Object.keys(golden)).toEqual(models.map(([id]) => id));
  for (const [id, { architecture }] of models) {
    expect([id, parametersOf(architecture), graphsOf(architecture)]).toEqual([
      id,
      ...(golden[id] ?? []),
    ]);
  }
});

test("published weights are as long as their parameters, and a header", () => {
  for (const [, model] of models) {
    const source = knownSource(model);
    if (source === undefined) continue;
    const headerBytes = source.bytes - 4 * parametersOf(model.architecture);
    expect(headerBytes).toBeGreaterThan(10_000);
    expect(headerBytes).toBeLessThan(100_000);
  }
});

/** float32 values in a model's weights. */
function parametersOf(architecture: ClipArchitecture): number {
  const asked = new Map<string, number>();
  for (const { weights } of [imageTower(architecture), textTower(architecture)]) {
    for (const weight of weights) {
      weight.read({
        read: (name, shape) => {
          asked.set(name, elementCount(shape));
          return new Float32Array(elementCount(shape));
        },
      });
    }
  }
  const read = asked.values().reduce((sum, count) => sum + count, 0);
  const { vision, text } = architecture;
  // The graph does without the keys' biases, which cancel, and without the scale of logits.
  return read + vision.layers * vision.width + text.layers * text.width + 1;
}

function graphsOf(architecture: ClipArchitecture): string {
  const hash = createHash("sha256");
  for (const graph of [imageTower(architecture), textTower(architecture)]) {
    hash.update(encodeModel(graph, "data"));
  }
  return hash.digest("hex");
}

test("the int8 image tower's graph is the one of its version: if it must change, raise `INT8_VERSION` too", () => {
  const tower = imageTower(catalog["clip-ViT-B-32"].architecture, "int8");
  expect(createHash("sha256").update(encodeModel(tower, "data")).digest("hex")).toBe(
    "c44b4bd884a1a2d62053ede4e1bae295d8038d3e88c6d88f8d82b83c18ace200",
  );
});

test("every model's pixels are normalised by the numbers by which int8 graphs take them back", () => {
  const { mean, std } = clipNormalization;
  for (const [, { preprocessing }] of models) {
    expect(preprocessing).toMatchObject({ mean: [...mean], std: [...std] });
  }
});
