/** One client that takes all it can get, and another that is served meanwhile. */
import { expect, test } from "bun:test";
import { tmpdir } from "node:os";
import { createAdmission } from "../../src/core/admission.ts";
import { beginCall, type Calls } from "../../src/http/call.ts";
import { createReaders } from "../../src/http/readers.ts";
import { limits } from "../../src/limits.ts";
import { parseTrustedProxies } from "../../src/net/client-address.ts";
import { createDownloads } from "../../src/store/downloads.ts";
import { until } from "../support/client.ts";
import { makeJpeg } from "../support/pictures.ts";
import { connectRaw, headOf, type RawClient } from "../support/raw-client.ts";
import { startService } from "../support/service.ts";

const path = "/vectorize-image-base64?model=clip-ViT-B-32";
const json = { "Content-Type": "application/json" };

test("as many unfinished bodies as may arrive, all from one address, keep no other address out", async () => {
  await using service = await startService();
  const head = headOf(path, { ...json, "Content-Length": 1_000 });
  const slow: RawClient[] = [];
  for (let one = 0; one < limits.maxArriving; one += 1) {
    const client = await connectRaw(service);
    client.write(`${head}{`);
    slow.push(client);
  }
  const refused = () => slow.filter((client) => client.text().startsWith("HTTP/1.1 503"));
  await until(() => refused().length >= limits.maxArriving / 2);
  const image = Buffer.from(await makeJpeg()).toString("base64");
  const body = JSON.stringify({ image_base64: image });
  const whole = `${headOf(path, { ...json, "Content-Length": body.length, Connection: "close" })}${body}`;
  const [same, other] = [await connectRaw(service), await connectRaw(service, "127.0.0.2")];
  same.write(whole);
  other.write(whole);
  const told = await same.closed();
  expect(told).toMatch(/^HTTP\/1\.1 503 .*[Rr]equests of this client/s);
  expect(told).toMatch(/^retry-after: [1-9]/im);
  expect(await other.closed()).toMatch(/^HTTP\/1\.1 200 /);
  expect(refused()).toHaveLength(limits.maxArriving / 2);
  for (const client of slow) client.hangUp();
}, 30_000);

/** Bodies of half a service's memory: the first client has come with one, and never ends it. */
function setUp() {
  const calls: Calls = new WeakMap();
  const readers = createReaders({
    calls,
    admission: createAdmission({
      maxArriving: 10,
      maxHeldBytes: 1000,
      limit: 10,
      expectedWaitMs: () => 0,
      maxWaitMs: 1000,
      now: () => 0,
    }),
    trustedProxies: parseTrustedProxies(["10.0.0.1"]),
    downloads: createDownloads({ directory: tmpdir(), minFreeBytes: 0 }),
    jsonParser: { parse: async () => ({}) },
    maxBodyBytes: 1000,
    maxImageBytes: 1000,
  });
  interface Sender {
    readonly peer: string;
    readonly forwardedFor?: string;
    readonly apiKeyName?: string;
  }
  const begin = ({ peer, forwardedFor, apiKeyName }: Sender, isWhole: boolean) => {
    const held = Promise.withResolvers<void>();
    const stream = new ReadableStream<Uint8Array>({
      start: (controller) => controller.enqueue(new Uint8Array(400)),
      // Asked for more: what there was is held.
      pull: (controller) => {
        if (isWhole) controller.close();
        else held.resolve();
      },
    });
    const headers = { ...json, ...(forwardedFor && { "X-Forwarded-For": forwardedFor }) };
    const request = new Request("http://host/", { method: "POST", headers, body: stream });
    const call = beginCall(request, { keepOpen: () => {}, peerAddress: () => peer });
    call.apiKeyName = apiKeyName;
    calls.set(request, call);
    const read = readers.json(() => undefined)({ request, query: {} });
    read.catch(() => {});
    return { read, held: held.promise };
  };
  return {
    hold: async (sender: Sender) => {
      await begin(sender, false).held;
      await Bun.sleep(5);
    },
    send: (sender: Sender) => begin(sender, true).read,
  };
}

const full = { code: "overloaded", message: expect.stringContaining("this client") };

test("a client's unfinished bodies leave memory to others: another address, or another network", async () => {
  const { hold, send } = setUp();
  await hold({ peer: "192.0.2.1" });
  await expect(send({ peer: "192.0.2.1" })).rejects.toMatchObject(full);
  expect(await send({ peer: "192.0.2.2" })).toEqual({});
});

test("all addresses of an IPv6 network are one client, and behind a proxy of one's own each is its own", async () => {
  const { hold, send } = setUp();
  await hold({ peer: "2001:db8::1" });
  await expect(send({ peer: "2001:db8::2" })).rejects.toMatchObject(full);
  const behind = (forwardedFor: string) => ({ peer: "10.0.0.1", forwardedFor });
  expect(await send(behind("192.0.2.2"))).toEqual({});
});

test("where clients have keys, a key is a client", async () => {
  const { hold, send } = setUp();
  await hold({ peer: "192.0.2.1", apiKeyName: "web" });
  await expect(send({ peer: "192.0.2.9", apiKeyName: "web" })).rejects.toMatchObject(full);
  expect(await send({ peer: "192.0.2.1", apiKeyName: "batch" })).toEqual({});
});
