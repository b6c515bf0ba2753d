import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { bypassesProxy } from "../../src/net/no-proxy.ts";

const nvidia = "https://ai.api.nvidia.com/v1";

describe("NO_PROXY", () => {
  test.each([
    ["", nvidia, false],
    [" , ,", nvidia, false],
    ["*", nvidia, true],
    ["ai.api.nvidia.com", nvidia, true],
    ["AI.API.NVIDIA.COM.", nvidia, true],
    ["nvidia.com", nvidia, true],
    [".nvidia.com", nvidia, true],
    ["*.nvidia.com", nvidia, true],
    ["dia.com", nvidia, false],
    ["api", nvidia, false],
    ["ai.api.nvidia.com:443", nvidia, true],
    ["ai.api.nvidia.com:8443", nvidia, false],
    ["nvidia.com:8443", "https://ai.api.nvidia.com:8443/", true],
    ["localhost example.org,nvidia.com", nvidia, true],
    ["127.0.0.1", "http://127.0.0.1:4711/", true],
    ["127.0.0.1:4711", "http://127.0.0.1:4711/", true],
    ["127.0.0.1:80", "http://127.0.0.1/", true],
    ["127.0.0.2", "http://127.0.0.1/", false],
    ["127.0.0.0/8", "http://127.9.9.9/", true],
    ["10.0.0.0/8", "http://127.0.0.1/", false],
    ["0.0.1", "http://127.0.0.1/", false],
    ["::1", "http://[::1]:4711/", true],
    ["[::1]", "http://[::1]:4711/", true],
    ["[::1]:4711", "http://[::1]:4711/", true],
    ["[::1]:80", "http://[::1]:4711/", false],
    ["fd00::/8", "http://[fd12::1]/", true],
    ["::ffff:7f00:1/128", "http://127.0.0.1/", false],
    ["nonsense:port,/8,[", nvidia, false],
  ])("%j on %s: %p", (noProxy, url, bypasses) => {
    expect(bypassesProxy(new URL(url), noProxy)).toBe(bypasses);
  });

  test("never throws, and an entry more never takes a bypass away", () => {
    const entry = fc.oneof(fc.string(), fc.domain(), fc.ipV4(), fc.ipV6());
    fc.assert(
      fc.property(fc.webUrl(), fc.array(entry), entry, (href, entries, more) => {
        const before = bypassesProxy(new URL(href), entries.join(","));
        const after = bypassesProxy(new URL(href), [...entries, more].join(","));
        expect(after || !before).toBe(true);
      }),
    );
  });

  test("a name covers itself and every name below it, and no other", () => {
    fc.assert(
      fc.property(fc.domain(), fc.domain(), (domain, other) => {
        expect(bypassesProxy(new URL(`https://${domain}/`), domain)).toBe(true);
        expect(bypassesProxy(new URL(`https://sub.${domain}/`), `.${domain}`)).toBe(true);
        expect(bypassesProxy(new URL(`https://x${domain}/`), domain)).toBe(false);
        expect(bypassesProxy(new URL(`https://${other}/`), `sub.${other}`)).toBe(false);
      }),
    );
  });
});
