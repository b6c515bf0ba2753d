/** Where NVIDIA's key goes, and where it must not. */
import { describe, expect, test } from "bun:test";
import { fakeKey, oneImage, setUpNvDinov2 } from "../support/nv-dinov2-setup.ts";
import { answer, type Behaviour, misbehave } from "../support/nvidia-fake.ts";
import { makeJpeg } from "../support/pictures.ts";

describe("the key", () => {
  /** Upstreams that repeat what they were sent. */
  const echoes: readonly Behaviour[] = [
    () => Response.json({ detail: `Key ${fakeKey} is odd` }, { status: 422 }),
    () =>
      Response.json({ detail: [fakeKey], model: fakeKey, metadata: [{ embedding: [fakeKey] }] }),
    () => new Response(null, { status: 307, headers: { Location: `/${fakeKey}` } }),
  ];
  const { slow: _, outage, redirect, ...others } = misbehave;
  const all = [...echoes, ...Object.values(others), outage(), redirect("/")];

  test.each(all.map((behaviour, index) => [behaviour.name || `misbehaviour ${index}`, behaviour]))(
    "is in no log line, problem, state, path or body (%s)",
    async (_name, behaviour) => {
      await using service = setUpNvDinov2();
      const { fake, embed, backend, lines } = service;
      fake.next(behaviour, behaviour, behaviour);
      const { result } = await embed(await makeJpeg());
      const said = [result, backend.state(), backend.admission(oneImage)].map((one) =>
        Bun.inspect(one),
      );
      for (const { path, body, headers } of fake.requests) {
        expect(headers.get("authorization")).toBe(`Bearer ${fakeKey}`);
        headers.delete("authorization");
        said.push(path, body, JSON.stringify([...headers]));
      }
      expect(fake.requests.length).toBeGreaterThan(0);
      expect([...said, ...lines].join("\n")).not.toContain(fakeKey);
    },
  );

  test("that the upstream repeats is blacked out in the log", async () => {
    await using service = setUpNvDinov2();
    const { fake, embed, lines } = service;
    fake.next(...echoes);
    await embed(await makeJpeg());
    expect(lines.join("")).toContain("Key [key] is odd");
  });

  test("that no header can carry is refused without being quoted", async () => {
    const odd = `${fakeKey}\nX-Evil: 1`;
    await using service = setUpNvDinov2({ apiKey: () => odd });
    const { fake, embed, backend, lines } = service;
    const { result } = await embed(await makeJpeg());
    expect(result).toMatchObject({ code: "model-unavailable" });
    expect(
      Bun.inspect([result, backend.state(), backend.admission(oneImage), lines]),
    ).not.toContain(fakeKey);
    expect(fake.requests).toHaveLength(0);
  });
});

describe("the proxy", () => {
  test("gets the calls, except those to hosts that NO_PROXY names", async () => {
    const seen: string[] = [];
    const proxy = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      fetch: (request) => {
        seen.push(request.url);
        return answer(new Uint8Array([1]));
      },
    });
    const baseUrl = "http://nvidia.invalid";
    const url = proxy.url.origin;
    await using through = setUpNvDinov2({ baseUrl, proxy: { url, noProxy: "localhost" } });
    expect((await through.embed(await makeJpeg())).result).toMatchObject({
      model: "nv-dinov2@fake",
    });
    expect(seen).toEqual([`${baseUrl}/v1/cv/nvidia/nv-dinov2`]);
    await using around = setUpNvDinov2({ proxy: { url, noProxy: "127.0.0.0/8" } });
    expect((await around.embed(await makeJpeg())).result).toMatchObject({
      model: "nv-dinov2@fake",
    });
    expect(seen).toHaveLength(1);
    await proxy.stop(true);
  });
});
