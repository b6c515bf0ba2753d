/** Published values against vectors that a test makes up. */
import { describe, expect, test } from "bun:test";
import type { ModelInputs } from "../../src/backends/protocol.ts";
import { type Check, numberCheck } from "../../src/cli/verify/check.ts";
import { checkInputs } from "../../src/cli/verify/input-checks.ts";
import { renderChecks } from "../../src/cli/verify/render-checks.ts";
import { checkVectors, type ModelInUse } from "../../src/cli/verify/vector-checks.ts";
import { Problem } from "../../src/errors.ts";
import { catalog } from "../../src/models/catalog.ts";
import { compareGolden, type GoldenValues, picturesIn, textsIn } from "../../src/models/golden.ts";
import { goldenPatterns, goldenPictures, goldenTokens } from "../../src/models/golden-inputs.ts";
import { createFakeWorker } from "../support/fake-worker.ts";

const [pattern, other] = goldenPatterns.map(({ name }) => name);
if (pattern === undefined || other === undefined) throw new Error("there are two patterns");
const terms = { allowed: 0.01, source: "somebody" };

/** What is right for the pictures' vector [3, 4] and the texts' [1, 0] and [0, 2]. */
const golden: GoldenValues = {
  rawNorm: { pictures: [pattern], least: 4, most: 6, source: "somebody" },
  cosines: [{ picture: pattern, texts: ["a", "b"], expected: [0.6, 0.8], ...terms }],
  probabilities: [{ picture: pattern, texts: ["a", "b"], expected: [0, 1], ...terms }],
  pictureStarts: [{ picture: pattern, expected: [0.6, 0.8], ...terms }],
  textStarts: [{ text: "b", expected: [0], ...terms }],
};
const image = new Float32Array([3, 4]);
const texts = new Map([
  ["a", new Float32Array([1, 0])],
  ["b", new Float32Array([0, 2])],
]);

describe("vectors beside published values", () => {
  const got = compareGolden(golden, { pictures: new Map([[pattern, image]]), texts });

  test("are compared number by number, with what each is", () => {
    expect(got.map(({ what, expected }) => [what, expected])).toEqual([
      [`${pattern}, cosine of "a"`, 0.6],
      [`${pattern}, cosine of "b"`, 0.8],
      [`${pattern}, share of "a"`, 0],
      [`${pattern}, share of "b"`, 1],
      [`${pattern}, number 1 at unit length`, 0.6],
      [`${pattern}, number 2 at unit length`, 0.8],
      [`"b", number 1 at unit length`, 0],
      [`${pattern}, length as given`, 5],
    ]);
    for (const { difference } of got) expect(difference).toBeLessThan(1e-6);
  });

  test("tell how far off they are", () => {
    const turned = new Map([[pattern, new Float32Array([0, 10])]]);
    const off = compareGolden(golden, { pictures: turned, texts });
    expect(off.map(({ difference }) => Number(difference.toFixed(6)))).toEqual([
      0.6, 0.2, 0, 0, 0.6, 0.2, 0, 5,
    ]);
  });

  test("need not be compared where the picture is not there", () => {
    const some = compareGolden(golden, { pictures: new Map(), texts });
    expect(some.map(({ what }) => what)).toEqual([`"b", number 1 at unit length`]);
  });
});

test("every golden value of a model names a picture and a text that can be had", () => {
  const names: readonly string[] = [...goldenPictures, ...goldenPatterns].map(({ name }) => name);
  const known = Object.values(catalog).flatMap(({ golden: values }) =>
    values === undefined ? [] : [values.published, values.synthetic],
  );
  expect(known.length).toBeGreaterThan(0);
  for (const values of known) {
    expect(picturesIn(values).filter((name) => !names.includes(name))).toEqual([]);
    expect(textsIn(values).length).toBeGreaterThan(0);
    for (const { texts: said, expected } of [...values.cosines, ...values.probabilities]) {
      expect(expected).toHaveLength(said.length);
    }
  }
});

test("a number that is none is wrong", () => {
  const numbers = { expected: 0, got: Number.NaN, difference: Number.NaN, allowed: 1 };
  expect(numberCheck("it", numbers, "somebody").verdict).toBe("wrong");
});

describe("a model in use", () => {
  /** A model that answers by text, [3, 4] for every picture, and what a test wants from the second time on. */
  function modelOf(answer: (name: string, time: number) => Float32Array | Problem): ModelInUse {
    const times = new Map<string, number>();
    const ask = (name: string) => {
      const time = (times.get(name) ?? 0) + 1;
      times.set(name, time);
      return answer(name, time);
    };
    return {
      model: "clip",
      stop: new AbortController().signal,
      embedder: {
        embed: async ({ source }) => {
          const vector = ask(source.kind === "memory" ? source.bytes.toBase64() : source.kind);
          return vector instanceof Problem ? vector : { model: "clip", vector };
        },
      },
      textEmbedder: {
        embed: async ({ texts: asked }) => {
          const vectors = asked.map(ask);
          const problem = vectors.find((one) => one instanceof Problem);
          if (problem !== undefined) return problem;
          const sound = vectors.filter((one) => one instanceof Float32Array);
          const [truncated, tokens] = [sound.map(() => false), sound.map(() => 3)];
          return { model: "clip", vectors: sound, truncated, tokens };
        },
      },
    };
  }
  const right = (name: string) => texts.get(name) ?? image;
  const verdicts = (checks: readonly Check[]) => new Set(checks.map(({ verdict }) => verdict));

  test("is right when every number is", async () => {
    const checks = await checkVectors(modelOf(right), golden, new Map());
    expect(checks).toHaveLength(10);
    expect(verdicts(checks)).toEqual(new Set(["right"]));
  });

  test("is wrong when a vector changes in company", async () => {
    const model = modelOf((name, time) => right(name).map((x) => (time > 1 ? x * 1.001 : x)));
    const wrong = (await checkVectors(model, golden, new Map())).filter(
      ({ verdict }) => verdict === "wrong",
    );
    expect(wrong.map(({ what }) => what)).toEqual([
      "images in batches, against each alone",
      "texts in batches, against each alone",
    ]);
  });

  test("is wrong when a vector is zero, not finite, or a problem", async () => {
    const broken = [
      new Float32Array(2),
      new Float32Array([1, Number.NaN]),
      new Problem("inference-timeout", "Too slow."),
    ];
    for (const one of broken) {
      const model = modelOf((name) => (name === "a" ? one : right(name)));
      const checks = await checkVectors(model, golden, new Map());
      expect(checks.map(({ what, verdict }) => [what, verdict])).toEqual([["a, vector", "wrong"]]);
    }
  });

  test("is only compared with itself where nothing is known of its weights", async () => {
    const checks = await checkVectors(modelOf(right), undefined, new Map());
    expect(checks.map(({ what }) => what)).toEqual([
      "images in batches, against each alone",
      "texts in batches, against each alone",
    ]);
  });

  test("leaves out, by name, what needs a picture that is not here", async () => {
    const needs = { ...golden, rawNorm: { ...golden.rawNorm, pictures: ["CLIP.png"] } };
    const found = new Map([["CLIP.png", { missing: "it was not fetched" }]]);
    const checks = await checkVectors(modelOf(right), needs, found);
    const out = checks.filter(({ verdict }) => verdict === "left out");
    expect(out.map(({ what }) => what)).toEqual(["values of CLIP.png"]);
  });
});

describe("prepared input", () => {
  const { preprocessing } = catalog["clip-ViT-B-32"];
  const decode = { maxPixels: 1_000_000, orientation: "apply" } as const;
  const facts = { sha256: "ab".repeat(32), format: "png", width: 1, height: 1 } as const;
  const rightInputs: ModelInputs = {
    images: goldenPatterns.map(({ pixelValuesSha256 }) => ({ facts, pixelValuesSha256 })),
    tokenIds: goldenTokens.map(({ ids }) => ids),
  };

  async function check(inputs: ModelInputs) {
    const worker = createFakeWorker();
    const checks = checkInputs(worker, decode, preprocessing, new Map());
    (await worker.next()).answer(inputs);
    return await checks;
  }
  const wrongIn = (checks: readonly Check[]) =>
    checks.filter(({ verdict }) => verdict === "wrong").map(({ what }) => what);

  test("is right when it is the reference's", async () => {
    expect(wrongIn(await check(rightInputs))).toEqual([]);
  });

  test("is wrong when one pixel or one token is another", async () => {
    const [, second] = rightInputs.images;
    if (second === undefined) throw new Error("there are two patterns");
    const images = [{ facts, pixelValuesSha256: "cd".repeat(32) }, second];
    expect(wrongIn(await check({ ...rightInputs, images }))).toEqual([`${pattern}, pixel values`]);
    const tokenIds = rightInputs.tokenIds.map((ids, index) => (index === 0 ? [...ids, 1] : ids));
    expect(wrongIn(await check({ ...rightInputs, tokenIds }))).toEqual([
      `"hello world", token ids`,
    ]);
  });

  test("is wrong when a picture is not decoded", async () => {
    const problem = { code: "undecodable-image", detail: "It is corrupt." } as const;
    const images = rightInputs.images.map(() => ({ problem }));
    expect(wrongIn(await check({ ...rightInputs, images }))).toHaveLength(2);
  });
});

test("people read sentences first, and then one table of all numbers", () => {
  const numbers = { expected: 0.5, got: 0.501, difference: 0.00123, allowed: 0.01 };
  const checks: Check[] = [
    numberCheck("a cosine", numbers, "somebody"),
    { what: "the weights", verdict: "right", found: "SHA-256 ab" },
    { what: "a picture", verdict: "left out", found: "it is not here" },
  ];
  expect(renderChecks(checks)).toBe(
    [
      "right    the weights: SHA-256 ab",
      "left out a picture: it is not here",
      "",
      "verdict  expected  got       difference  allowed  what",
      "right    0.500000  0.501000  0.0012      0.01     a cosine (somebody)",
      "",
    ].join("\n"),
  );
});
