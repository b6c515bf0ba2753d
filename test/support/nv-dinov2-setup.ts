/** The client of NVIDIA's hosted model, against a fake of its own. */
import type { BackendOutcome } from "../../src/backends/backend.ts";
import { createNvDinov2, type NvDinov2Options } from "../../src/backends/nv-dinov2.ts";
import { createLog } from "../../src/log.ts";
import { prepareUpstream } from "../../workers/shrink-to-jpeg.ts";
import { createFakeClock } from "./fake-clock.ts";
import { answer, type Behaviour, type NvidiaFake, startNvidiaFake } from "./nvidia-fake.ts";
import type { Bytes } from "./pictures.ts";

/** The key that the fake takes. */
export const fakeKey = "nvapi-secret-0123456789";

/** The smallest demand. */
export const oneImage = { kind: "image", inputs: 1, deadline: Number.POSITIVE_INFINITY } as const;

interface EmbedOptions {
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

/** Makes a backend of a fresh fake. Its waits take no time, unless `clock` says otherwise. */
export function setUpNvDinov2(
  options: Partial<NvDinov2Options> = {},
  clock = createFakeClock("skip"),
) {
  const fake = startNvidiaFake({ key: fakeKey });
  const lines: string[] = [];
  const write = (line: string) => void lines.push(line);
  const decode = { maxPixels: 100_000_000, orientation: "apply" } as const;
  const backend = createNvDinov2({
    apiKey: () => fakeKey,
    baseUrl: fake.url,
    proxy: undefined,
    requestsPerMinute: 40,
    prepare: async ({ image }, maxBase64Chars) => ({
      outcome: await prepareUpstream(image, decode, { maxBase64Chars }),
      queueMs: 0,
    }),
    log: createLog({ level: "debug", format: "json", write, now: () => new Date(0) }),
    clock,
    wallClock: () => Date.parse("2026-01-01T00:00:00Z"),
    random: () => 0.5,
    ...options,
  });
  return {
    fake,
    backend,
    clock,
    /** Everything that was logged. */
    lines,
    embed(
      bytes: Bytes,
      { timeoutMs = 60_000, signal }: EmbedOptions = {},
    ): Promise<BackendOutcome> {
      return backend.embed({
        image: { kind: "memory", bytes },
        signal: signal ?? new AbortController().signal,
        deadline: clock.now() + timeoutMs,
      });
    },
    [Symbol.asyncDispose]: () => fake.stop(),
  };
}

/** Stands in for the worker where decoding is beside the point: any bytes are a picture. */
export const prepareNothing: NvDinov2Options["prepare"] = async ({ image }) => {
  if (image.kind !== "memory") throw new TypeError("only memory images here");
  const { bytes } = image;
  const outcome = {
    facts: { sha256: Bun.SHA256.hash(bytes, "hex"), format: "jpg", width: 1, height: 1 },
    bytes,
    result: { image: new Uint8Array(bytes), mime: "image/jpeg" },
    timings: { decodeMs: 1, inferMs: 0 },
  } as const;
  return { outcome, queueMs: 0 };
};

/** A good answer, whatever the picture. */
export const anyVector: Behaviour = () => answer(new Uint8Array([1]));

/** Holds the answer to the fake's next request back until `release`. */
export function holdNext(fake: NvidiaFake, behaviour: Behaviour) {
  const came = Promise.withResolvers<void>();
  const released = Promise.withResolvers<void>();
  fake.next(async (request) => {
    came.resolve();
    await released.promise;
    return behaviour(request);
  });
  return { requested: came.promise, release: released.resolve };
}
