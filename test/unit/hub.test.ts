/** The download of weights, from a hub that misbehaves in every way that we know. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { join } from "node:path";
import fc from "fast-check";
import type { Clock } from "../../src/backends/clock.ts";
import { createHub, type HubOptions, type PullTerms } from "../../src/models/hub.ts";
import { type FakeHub, startHub } from "../support/hub.ts";
import { temporaryFolder } from "../support/tiny-clip.ts";

/** Some bytes that differ everywhere, so that a wrong place shows. */
const content = Uint8Array.from({ length: 300_000 }, (_, index) => (index * 31) ^ (index >> 8));

let hub: FakeHub;
let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let target: string;
/** What was waited for, in ms. */
let waits: number[];

beforeEach(async () => {
  hub = await startHub(content);
  folder = await temporaryFolder();
  target = join(folder.path, "models/a/model.safetensors");
  waits = [];
});

afterEach(async () => {
  await hub[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});

/** Time that passes at once. */
const hurriedClock: Clock = {
  now: () => performance.now(),
  sleep: async (ms, signal) => {
    waits.push(ms);
    await Bun.sleep(1);
    signal.throwIfAborted();
  },
};

function pull(
  options: Partial<HubOptions> = {},
  signal: AbortSignal = new AbortController().signal,
  bytesBeside = 0,
  heard: Pick<PullTerms, "onWait" | "onSetback"> = {},
) {
  const own = { token: "", isOffline: false, proxy: undefined, clock: hurriedClock };
  return createHub({ endpoint: hub.endpoint, ...own, ...options }).pull(hub.file, target, {
    signal,
    onProgress: () => {},
    bytesBeside,
    ...heard,
  });
}

/** Waits for what other code brings about; a question that throws is asked again. */
async function until(isTrue: () => Promise<boolean>): Promise<void> {
  while (!(await isTrue().catch(() => false))) await Bun.sleep(1);
}

/** Only the right file is in its folder; the lock stays for whoever waits for it. */
async function expectPlaced(): Promise<void> {
  expect(await readFile(target)).toEqual(Buffer.from(content));
  expect((await readdir(join(target, ".."))).sort()).toEqual([
    "model.safetensors",
    "model.safetensors.lock",
  ]);
}

async function expectNotPlaced(): Promise<void> {
  expect(await Bun.file(target).exists()).toBe(false);
}

test("the file comes over the hub's redirect, and is placed whole", async () => {
  expect(await pull()).toBeUndefined();
  await expectPlaced();
});

test("what is there is not asked for again", async () => {
  await pull();
  const count = hub.requests.length;
  expect(await pull()).toBeUndefined();
  expect(hub.requests).toHaveLength(count);
});

test("the token goes to the hub, and not along its redirect", async () => {
  await pull({ token: "hf_secret" });
  expect(hub.requests.map(({ host, authorization }) => [host, authorization])).toEqual([
    ["hub", "Bearer hf_secret"],
    ["files", undefined],
  ]);
});

test("after a cut it goes on where it ended", async () => {
  hub.moods.push({ cutAfter: 100_000 }, { cutAfter: 50_000 });
  expect(await pull()).toBeUndefined();
  await expectPlaced();
  const ranges = hub.requests.filter(({ host }) => host === "files").map(({ range }) => range);
  expect(ranges).toEqual([undefined, "bytes=100000-", "bytes=150000-"]);
});

test("a file host that falls silent is asked again for the rest", async () => {
  hub.moods.push({ stallAfter: 100_000 });
  expect(await pull({ silenceMs: 200 })).toBeUndefined();
  await expectPlaced();
  expect(hub.requests.at(-1)?.range).toBe("bytes=100000-");
});

test("a proxy is asked for hub and file host, except for those that NO_PROXY names", async () => {
  const proxied: string[] = [];
  // It is asked for whole URLs, as every proxy is for http:.
  const proxy = createServer((request, response) => {
    proxied.push(request.url ?? "");
    response.writeHead(502).end();
  });
  await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
  try {
    const address = proxy.address();
    const port = typeof address === "object" ? address?.port : undefined;
    const url = `http://127.0.0.1:${port}`;
    const outcome = await pull({ proxy: { url, noProxy: "huggingface.example" } });
    expect(outcome?.sentence).toBe("the hub answers 502");
    const { repository, revision, path } = hub.file;
    expect(proxied[0]).toBe(`${hub.endpoint}/${repository}/resolve/${revision}/${path}`);
    const count = proxied.length;
    expect(await pull({ proxy: { url, noProxy: "127.0.0.1" } })).toBeUndefined();
    expect(proxied).toHaveLength(count);
  } finally {
    await new Promise((resolve) => proxy.close(resolve));
  }
});

test("a later process goes on with what an earlier one left", async () => {
  hub.moods.push({ stallAfter: 120_000 });
  const controller = new AbortController();
  const first = pull({}, controller.signal);
  await until(async () => (await Bun.file(`${target}.partial`).stat()).size === 120_000);
  controller.abort();
  await expect(first).rejects.toThrow();
  await expectNotPlaced();
  expect(await pull()).toBeUndefined();
  expect(hub.requests.at(-1)?.range).toBe("bytes=120000-");
  await expectPlaced();
});

test("whatever an earlier process left, the right file or none is placed", async () => {
  await pull();
  await fc.assert(
    fc.asyncProperty(
      fc.nat({ max: content.length + 1000 }),
      fc.boolean(),
      fc.array(fc.nat({ max: content.length }), { maxLength: 3 }),
      async (left, isDamaged, cuts) => {
        await Bun.file(target).delete();
        const bytes = new Uint8Array(left);
        bytes.set(content.subarray(0, left));
        if (isDamaged && left > 0) bytes[left >> 1] = (bytes[left >> 1] ?? 0) ^ 1;
        await writeFile(`${target}.partial`, bytes);
        hub.moods.splice(0, hub.moods.length, ...cuts.map((cutAfter) => ({ cutAfter })));
        expect(await pull()).toBeUndefined();
        await expectPlaced();
      },
    ),
    { numRuns: 25 },
  );
});

test.each([
  ["ignores ranges", { ignoresRange: true }],
  ["lies about its range", { liesAboutRange: true }],
  ["knows of no such range", { status: 416 }],
])("from a file host that %s it begins anew", async (_what, mood) => {
  hub.moods.push({ cutAfter: 1000 }, mood);
  expect(await pull()).toBeUndefined();
  await expectPlaced();
});

test("a file host that is busy is asked again when it says", async () => {
  hub.moods.push({ status: 429, headers: { "retry-after": "7" } }, { status: 503 });
  expect(await pull()).toBeUndefined();
  expect(waits).toEqual([7000, 4000]);
});

test("five tries in a row that bring nothing are enough, and another time may help", async () => {
  hub.moods.push(...Array.from({ length: 9 }, () => ({ status: 500 })));
  expect(await pull()).toEqual({
    kind: "failed",
    sentence: "the hub answers 500",
    mayPass: true,
  });
  expect(hub.requests.filter(({ host }) => host === "files")).toHaveLength(5);
});

test("nobody there is a failure that may pass", async () => {
  const outcome = await pull({ endpoint: "http://127.0.0.1:9" });
  expect(outcome).toMatchObject({ mayPass: true });
  expect(outcome?.sentence).toMatch(
    /^the hub cannot be reached \(\w+\): check the network, HTTPS_PROXY or HF_ENDPOINT$/,
  );
});

test.each([
  [401, "set HF_TOKEN"],
  [403, "set HF_TOKEN"],
  [404, "check HF_ENDPOINT"],
  [400, "check HF_ENDPOINT"],
  [451, "check HF_ENDPOINT"],
])("a hub that answers %d is not asked again", async (status, mend) => {
  hub.refusal = { status };
  const outcome = await pull();
  expect(outcome).toMatchObject({ mayPass: false });
  expect(outcome?.sentence).toContain(mend);
  expect(hub.requests).toHaveLength(1);
});

test("a hub that has another file under the name is not downloaded from", async () => {
  hub.linkedSha256 = "0".repeat(64);
  expect((await pull())?.sentence).toContain("another file");
  await expectNotPlaced();
});

test("bytes that are not the published file are fetched once more, and then given up", async () => {
  const other = content.slice().fill(1, 5, 9);
  hub.moods.push({ instead: other }, { instead: other });
  expect((await pull())?.sentence).toContain("SHA-256");
  await expectNotPlaced();
  expect(await readdir(join(target, ".."))).toEqual(["model.safetensors.lock"]);
  hub.moods.push({ instead: other });
  expect(await pull()).toBeUndefined();
  await expectPlaced();
});

test("a file that is too long is refused, one that is too short never placed", async () => {
  hub.moods.push({ instead: new Uint8Array(content.length + 1) });
  expect((await pull())?.sentence).toContain("longer");
  hub.moods.push(...Array.from({ length: 20 }, () => ({ instead: content.subarray(0, 1000) })));
  expect(await pull()).toMatchObject({ kind: "failed" });
  await expectNotPlaced();
});

test.each(["ftp://files.example/model", ""])(
  "a redirect astray is not followed: %p",
  async (to) => {
    hub.refusal = { status: 302, headers: to === "" ? {} : { location: to } };
    expect((await pull())?.sentence).toContain("redirects to no https address");
  },
);

test("a circle of redirects ends", async () => {
  hub.refusal = { status: 302, headers: { location: "/round" } };
  expect((await pull())?.sentence).toContain("redirects too often");
});

test("offline means that nothing is asked", async () => {
  expect((await pull({ isOffline: true }))?.sentence).toContain("HF_HUB_OFFLINE");
  expect(hub.requests).toEqual([]);
});

test("two who want the same file download it once", async () => {
  const both = await Promise.all([pull(), pull()]);
  expect(both).toEqual([undefined, undefined]);
  await expectPlaced();
  expect(hub.requests.filter(({ host }) => host === "files")).toHaveLength(1);
});

test("without room for the file nothing is asked", async () => {
  const outcome = await pull({}, undefined, 1e18);
  expect(outcome?.sentence).toContain("free space");
  expect(hub.requests).toEqual([]);
});

test.each([401, 403])("a token that is refused with %d is said to be", async (status) => {
  hub.refusal = { status };
  expect(await pull({ token: "hf_secret" })).toEqual({
    kind: "failed",
    sentence: `the hub refuses HF_TOKEN (${status}): give one that may read the file`,
    mayPass: false,
  });
});

test("a web page in place of the file is said to be one, and another time may help", async () => {
  const headers = { "content-type": "text/html; charset=utf-8" };
  hub.moods.push({ instead: new TextEncoder().encode("<html>Sign in</html>"), headers });
  expect(await pull()).toMatchObject({
    sentence: expect.stringMatching(/^a web page came in place of the file: sign in /),
    mayPass: true,
  });
  await expectNotPlaced();
});

test("a file that comes compressed is said to, and nothing of it is kept", async () => {
  hub.moods.push({ headers: { "content-encoding": "gzip" } });
  const outcome = await pull();
  expect(outcome?.sentence).toStartWith("the file came compressed");
  expect(await readdir(join(target, ".."))).toEqual(["model.safetensors.lock"]);
});

test("whoever waits hears of it once; and of each try in vain, with the wait until the next", async () => {
  hub.moods.push({ stallAfter: 1000 }, { status: 500 });
  const heard: unknown[] = [];
  const first = pull({ silenceMs: 300 }, undefined, 0, {
    onWait: () => heard.push("first"),
    onSetback: (setback) => heard.push(setback),
  });
  await until(async () => (await Bun.file(`${target}.partial`).stat()).size === 1000);
  const second = pull({}, undefined, 0, { onWait: () => heard.push("second waits") });
  expect(await Promise.all([first, second])).toEqual([undefined, undefined]);
  expect(heard).toEqual(["second waits", { reason: "the hub answers 500", waitMs: 2000 }]);
});

describe("a download whose file is deleted under way", () => {
  /** Starts one, and deletes its folder when a part has come; the rest comes after `meanwhile`. */
  async function pullWhile(meanwhile: () => Promise<unknown>) {
    const rest = Promise.withResolvers<void>();
    hub.moods.push({ pause: { after: 1000, until: rest.promise } });
    const pulling = pull();
    await until(async () => (await Bun.file(`${target}.partial`).stat()).size === 1000);
    await rm(join(target, ".."), { recursive: true });
    await meanwhile();
    rest.resolve();
    return await pulling;
  }
  const gone = {
    kind: "failed",
    sentence: "somebody deleted the file while it was downloaded: download it again",
    mayPass: true,
  } as const;

  test("says so, and another try may help", async () => {
    expect(await pullWhile(async () => {})).toEqual(gone);
    expect(await pull()).toBeUndefined();
    await expectPlaced();
  });

  test("does not give its name to the half of another", async () => {
    const half = Uint8Array.of(1, 2, 3);
    expect(await pullWhile(() => Bun.write(`${target}.partial`, half))).toEqual(gone);
    await expectNotPlaced();
    expect(await Bun.file(`${target}.partial`).bytes()).toEqual(half);
  });

  test("leaves one that was placed meanwhile", async () => {
    expect(await pullWhile(() => pull())).toEqual(gone);
    await expectPlaced();
  });
});
