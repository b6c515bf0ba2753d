import { expect, test } from "bun:test";
import { readReadyModels } from "../../src/cli/predecessor.ts";

test("the models that are ready are told by their plain ids", () => {
  const models = [
    { id: "clip-ViT-B-32@synthetic", state: "ready" },
    { id: "nv-dinov2", state: "unavailable", why: "no key" },
  ];
  expect(readReadyModels({ status: "ready", models })).toEqual(["clip-ViT-B-32"]);
});

test.each([null, "ready", [[]], {}, { models: "all" }, { models: ["clip"] }, { models: [null] }])(
  "%j is not what an instance of ours answers",
  (answer) => {
    expect(() => readReadyModels(answer)).toThrow();
  },
);
