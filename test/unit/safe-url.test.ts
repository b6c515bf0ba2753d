import { expect, test } from "bun:test";
import { Problem } from "../../src/errors.ts";
import { limits } from "../../src/limits.ts";
import { parseImageUrl } from "../../src/net/safe-url.ts";

function faultOf(text: string): string {
  try {
    return `no fault: ${parseImageUrl(text).href}`;
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    expect(error.code).toBe("invalid-image-url");
    return error.message;
  }
}

test.each([
  ["https://host.example/a%20b.jpg?x=1&y=%2F#part", "https://host.example/a%20b.jpg?x=1&y=%2F"],
  ["  HTTP://Host.Example:80/a\n", "http://host.example/a"],
  ["https://host.example.:8443/", "https://host.example:8443/"],
  ["https://bücher.example/ü.png", "https://xn--bcher-kva.example/%C3%BC.png"],
  ["http://0x7f.1/", "http://127.0.0.1/"],
  ["http://2130706433/", "http://127.0.0.1/"],
  ["http://0177.0.0.1./", "http://127.0.0.1/"],
  ["http://①②⑦.0.0.1/", "http://127.0.0.1/"],
  ["http://[0:0::ffff:127.0.0.1]/", "http://[::ffff:7f00:1]/"],
])("%s is read as %s", (text, href) => {
  expect(parseImageUrl(text).href).toBe(href);
});

test.each([
  ["", "absolute URL"],
  ["picture.jpg", "absolute URL"],
  ["//host.example/a.jpg", "absolute URL"],
  ["http://", "absolute URL"],
  ["http://host.example:65536/", "absolute URL"],
  ["http://ho st/", "absolute URL"],
  ["http://[fe80::1%25eth0]/", "absolute URL"],
  ["http://256.0.0.1/", "absolute URL"],
  ["file:///etc/passwd", "http:// or https://"],
  ["ftp://host.example/a.jpg", "http:// or https://"],
  ["javascript:alert(1)", "http:// or https://"],
  ["blob:https://host.example/1", "http:// or https://"],
  ["s3://bucket/a.jpg", "http:// or https://"],
  ["data:image/png;base64,AAAA", "base64 field"],
  [`data:image/png;base64,${"A".repeat(limits.maxUrlChars)}`, "base64 field"],
  ["https://user@host.example/", "user name"],
  ["https://:secret@host.example/", "user name"],
  ["https://host..example/", "empty part"],
  ["https://host.example../", "empty part"],
  ["https://./", "empty part"],
  ["https://host.example//a.jpg", "two slashes"],
  ["https://host.example/.//a.jpg", "two slashes"],
  [`https://host.example/${"a".repeat(limits.maxUrlChars)}`, "longer than"],
])("%s is refused with a sentence about %s", (text, words) => {
  const fault = faultOf(text);
  expect(fault).toContain(words);
  expect(fault).not.toContain("secret");
});

test("a URL of exactly the longest length is read", () => {
  const start = "https://host.example/";
  const text = start.padEnd(limits.maxUrlChars, "a");
  expect(parseImageUrl(text).href).toBe(text);
});
