import { expect, test } from "bun:test";
import { catalog, type ModelDescription } from "../../src/models/catalog.ts";

const models: [string, ModelDescription][] = Object.entries(catalog);

test("every model's weights are pinned to a commit, a size and a digest", () => {
  for (const [, { source }] of models) {
    expect(source.repository).toMatch(/^[\w.-]+\/[\w.-]+$/);
    expect(source.revision).toMatch(/^[0-9a-f]{40}$/);
    expect(source.sha256).toMatch(/^[0-9a-f]{64}$/);
    expect(source.bytes).toBeGreaterThan(0);
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

test("the ViT-B/32 takes 224 pixels and gives 512 dimensions", () => {
  const { architecture } = catalog["clip-ViT-B-32"];
  expect(architecture.vision.side).toBe(224);
  expect(architecture.dimensions).toBe(512);
});
