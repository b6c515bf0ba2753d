/** What any host of NV-DINOv2 must do, asked through the service's own client. */
import { describe, expect, test } from "bun:test";
import type { Embedding } from "../../src/backends/backend.ts";
import { createNvDinov2 } from "../../src/backends/nv-dinov2.ts";
import type { Problem } from "../../src/errors.ts";
import { createLog } from "../../src/log.ts";
import { prepareUpstream } from "../../workers/shrink-to-jpeg.ts";
import { type Bytes, makeCmykJpeg, makeJpeg, makePng, makeWebp } from "../support/pictures.ts";

/** Where the model is. */
export interface ConformanceTarget {
  /** undefined for NVIDIA's own. */
  readonly baseUrl: string | undefined;
  readonly key: string;
}

const decode = { maxPixels: 100_000_000, orientation: "apply" } as const;
const timeoutMs = 60_000;

/** Declares the suite; it makes about ten requests. */
export function describeNvDinov2(name: string, target: () => ConformanceTarget): void {
  async function embed(bytes: Bytes, key = target().key): Promise<Embedding | Problem> {
    const backend = createNvDinov2({
      apiKey: () => key,
      baseUrl: target().baseUrl,
      proxy: undefined,
      requestsPerMinute: 40,
      prepare: async ({ image }, maxBase64Chars) => ({
        outcome: await prepareUpstream(image, decode, { maxBase64Chars }),
        queueMs: 0,
      }),
      log: createLog({ level: "error", format: "json", write: () => {}, now: () => new Date() }),
    });
    const deadline = performance.now() + timeoutMs;
    const { signal } = new AbortController();
    return (await backend.embed({ image: { kind: "memory", bytes }, signal, deadline })).result;
  }

  async function vectorOf(bytes: Bytes): Promise<Float32Array> {
    const result = await embed(bytes);
    if (result instanceof Error) throw result;
    return result.vector;
  }

  describe(name, () => {
    test(
      "the answer names its model and has 1536 finite numbers that are not all zero",
      async () => {
        const result = await embed(await makeJpeg());
        expect(result).toMatchObject({ model: expect.stringMatching(/^[\w.@/:+-]+$/) });
        const vector = "vector" in result ? result.vector : new Float32Array();
        expect(vector).toHaveLength(1536);
        expect(vector.every(Number.isFinite)).toBe(true);
        expect(vector.some((component) => component !== 0)).toBe(true);
      },
      timeoutMs,
    );

    test(
      "the same picture has the same vector, another picture another one",
      async () => {
        const picture = () => makeJpeg({ width: 320, height: 240, kind: "text" });
        const first = await vectorOf(await picture());
        expect(cosine(first, await vectorOf(await picture()))).toBeGreaterThan(0.999);
        const other = await makeJpeg({ width: 320, height: 240, kind: "noise" });
        expect(cosine(first, await vectorOf(other))).toBeLessThan(0.99);
      },
      timeoutMs,
    );

    test.each<[string, () => Promise<Bytes>]>([
      ["a PNG", () => makePng()],
      ["a WebP", () => makeWebp()],
      ["a CMYK JPEG", () => makeCmykJpeg()],
      ["a photo that lies on its side", () => makeJpeg({ orientation: 6 })],
      [
        "a picture that is too large to send as it is",
        () => makeJpeg({ width: 1400, height: 1000, kind: "noise" }),
      ],
    ])(
      "%s is taken",
      async (_, picture) => {
        expect(await vectorOf(await picture())).toHaveLength(1536);
      },
      timeoutMs,
    );

    test(
      "a wrong key is refused as such",
      async () => {
        const result = await embed(await makeJpeg(), "nvapi-wrong");
        expect(result).toMatchObject({ code: "upstream-unauthorized" });
      },
      timeoutMs,
    );
  });
}

function cosine(a: Float32Array, b: Float32Array): number {
  const dot = (x: Float32Array, y: Float32Array) =>
    x.reduce((sum, component, index) => sum + component * (y[index] ?? 0), 0);
  return dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
}
