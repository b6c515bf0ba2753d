/** One slow upstream never takes the others with it. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "bun:test";
import { expectProblem, postFile, postJson, send, until } from "../support/client.ts";
import { misbehave, type NvidiaFake, startNvidiaFake } from "../support/nvidia-fake.ts";
import { type Origin, respond, startOrigin, staySilent } from "../support/origin.ts";
import { type Bytes, makeJpeg } from "../support/pictures.ts";
import { reachingFakes, startService, type TestService } from "../support/service.ts";

/** Requests that hang: as many as the house has places by default. */
const flood = 64;
/** Those of them that may wait. */
const share = 21;

let jpeg: Bytes;
let nvidia: NvidiaFake;
let origin: Origin;
let service: TestService;
let leaving: AbortController;

beforeAll(async () => {
  jpeg = await makeJpeg();
  nvidia = startNvidiaFake();
  origin = await startOrigin({ "/silent": staySilent, "/picture": respond({ body: jpeg }) });
  service = await startService({ ...reachingFakes(nvidia), NVIDIA_REQUESTS_PER_MINUTE: "1000" });
});

afterAll(async () => {
  await service.stop();
  await origin[Symbol.asyncDispose]();
  await nvidia.stop();
});

beforeEach(() => {
  leaving = new AbortController();
});

afterEach(() => leaving.abort());

const clip = "?model=clip-ViT-B-32";

/** Different bytes each, since the same are asked for once. */
function askNvidia(count: number) {
  nvidia.next(...Array.from({ length: count }, () => misbehave.slow));
  return Array.from({ length: count }, (_, index) => {
    const bytes = new Uint8Array([...jpeg, index]);
    return postFile(service, bytes, { init: { signal: leaving.signal } });
  });
}

function askForSilentImage(count: number) {
  return Array.from({ length: count }, () =>
    send(service, `/vectorize-image${clip}`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ image_url: origin.url("/silent") }),
      signal: leaving.signal,
    }),
  );
}

/** Waits until all but the share were refused. @returns the answers of those. */
async function refusalsOf(asked: readonly Promise<Response>[]): Promise<readonly Response[]> {
  const refused: Response[] = [];
  for (const one of asked) {
    one.then(
      (response) => refused.push(response),
      () => {},
    );
  }
  await until(() => refused.length === flood - share);
  return refused;
}

async function expectClipAnswers(): Promise<void> {
  const [uploaded, fetched] = await Promise.all([
    postFile(service, jpeg, { query: clip }),
    postJson(service, `/vectorize-image${clip}`, { image_url: origin.url("/picture") }),
  ]);
  expect([uploaded.status, fetched.status]).toEqual([200, 200]);
}

test("64 requests that hang at NVIDIA leave CLIP its places, also for image URLs", async () => {
  const asked = askNvidia(flood);
  for (const response of await refusalsOf(asked)) {
    expect(Number(response.headers.get("retry-after"))).toBeGreaterThan(0);
    expect((await expectProblem(response, "overloaded")).detail).toContain("NVIDIA");
  }
  for (let round = 0; round < 5; round += 1) await expectClipAnswers();
});

test("64 images whose host is silent leave uploads their places", async () => {
  const asked = askForSilentImage(flood);
  for (const response of await refusalsOf(asked)) {
    expect((await expectProblem(response, "overloaded")).detail).toContain("image hosts");
  }
  for (let round = 0; round < 5; round += 1) {
    expect((await postFile(service, jpeg, { query: clip })).status).toBe(200);
  }
});

test("both at once leave CLIP its places, and all are free when their clients have gone", async () => {
  const [atNvidia, atOrigin] = [askNvidia(flood), askForSilentImage(flood)];
  const all = [...atNvidia, ...atOrigin];
  let refused = 0;
  for (const one of all) {
    one.then(
      () => {
        refused += 1;
      },
      () => {},
    );
  }
  await until(() => refused >= 2 * (flood - share));
  expect((await postFile(service, jpeg, { query: clip })).status).toBe(200);
  leaving.abort();
  await Promise.allSettled(all);
  nvidia.next();
  await until(async () => {
    const { status } = await postJson(service, `/vectorize-image${clip}`, {
      image_url: origin.url("/picture"),
    });
    return status === 200;
  });
});
