/** Compressed answers: for whoever asks, where it pays, and with tags of their own. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createApiKey, withApiKey } from "../../src/store/api-keys.ts";
import { postFile, postJson } from "../support/client.ts";
import { type Bytes, makeJpeg } from "../support/pictures.ts";
import { startService, type TestService } from "../support/service.ts";

const { key, entry } = createApiKey("tests", new Date());
const clip = "?model=clip-ViT-B-32";

let folder: string;
let service: TestService;
let jpeg: Bytes;
let sha256: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "imagesvc-compression-test-"));
  const keysFile = join(folder, "api-keys");
  await Bun.write(keysFile, withApiKey("", entry));
  jpeg = await makeJpeg();
  sha256 = Bun.SHA256.hash(jpeg, "hex");
  service = await startService({
    API_KEYS_FILE: keysFile,
    CACHE_MAX_BYTES: String(16 * 1024 * 1024),
  });
});

afterAll(async () => {
  await service.stop();
  await rm(folder, { recursive: true });
});

/** What is sent along, and the bytes are left as they come. */
function asking(acceptEncoding: string, more: Readonly<Record<string, string>> = {}) {
  const headers = { Authorization: `Bearer ${key}`, "Accept-Encoding": acceptEncoding, ...more };
  return { headers, decompress: false } as const;
}

function get(path: string, acceptEncoding: string, more: RequestInit & Headers = {}) {
  const { headers, ...init } = more;
  return fetch(new URL(path, service.url), { ...asking(acceptEncoding, headers), ...init });
}
interface Headers {
  readonly headers?: Readonly<Record<string, string>>;
}

function upload(acceptEncoding: string): Promise<Response> {
  return postFile(service, jpeg, { query: clip, init: asking(acceptEncoding) });
}

const decoders: Readonly<Record<string, (bytes: Bytes) => Uint8Array>> = {
  gzip: (bytes) => Bun.gunzipSync(bytes),
  zstd: (bytes) => Bun.zstdDecompressSync(bytes),
};

/** A body as it came, and as it is read. */
async function bodyOf(
  response: Response,
): Promise<{ readonly bytes: number; readonly text: string }> {
  const bytes = new Uint8Array(await response.arrayBuffer());
  const decode = decoders[response.headers.get("content-encoding") ?? ""];
  return { bytes: bytes.length, text: new TextDecoder().decode(decode ? decode(bytes) : bytes) };
}

describe("a vector", () => {
  for (const coding of ["gzip", "zstd"]) {
    test(`comes as ${coding} for whoever asks, half as large and with the same numbers`, async () => {
      const plain = await upload("identity");
      const coded = await upload(coding);
      expect(plain.headers.get("content-encoding")).toBeNull();
      expect(coded.headers.get("content-encoding")).toBe(coding);
      for (const { headers } of [plain, coded]) {
        expect(headers.get("vary")).toBe("Origin, Accept-Encoding");
        expect(headers.get("content-type")).toBe("application/json");
      }
      const [whole, small] = [await bodyOf(plain), await bodyOf(coded)];
      expect(small.text).toBe(whole.text);
      expect(small.bytes).toBeLessThan(whole.bytes / 2);
      expect(Number(coded.headers.get("content-length"))).toBe(small.bytes);
    });
  }

  test("many at once come compressed, too", async () => {
    const text = Array.from({ length: 40 }, (_, index) => `text ${index}`);
    const response = await fetch(new URL("/embed-text", service.url), {
      ...asking("gzip", { "Content-Type": "application/json" }),
      method: "POST",
      body: JSON.stringify({ text }),
    });
    expect(response.headers.get("content-encoding")).toBe("gzip");
    const { vectors } = JSON.parse((await bodyOf(response)).text);
    expect(vectors).toHaveLength(text.length);
  });

  test("a page of another origin still sees that the answer depends on its origin", async () => {
    const { headers } = await get("/openapi.json", "gzip", {
      headers: { Origin: "http://localhost:3000" },
    });
    expect(headers.get("vary")).toBe("Origin, Accept-Encoding");
    expect(headers.get("access-control-allow-origin")).toBe("http://localhost:3000");
  });
});

describe("a known vector", () => {
  const path = () => `/embeddings/${sha256}`;

  test("has a tag of its own in each coding", async () => {
    await upload("identity");
    const tags = new Set<string | null>();
    for (const coding of ["identity", "gzip", "zstd"]) {
      const response = await get(path(), coding);
      tags.add(response.headers.get("etag"));
      expect(JSON.parse((await bodyOf(response)).text).vector).toHaveLength(512);
    }
    expect(tags.size).toBe(3);
    expect(tags).not.toContain(null);
  });

  test("is not modified for the tag of the coding that is asked for, and is for another's", async () => {
    await upload("identity");
    const etag = (await get(path(), "gzip")).headers.get("etag") ?? "";
    const headers = { "If-None-Match": etag };
    const same = await get(path(), "gzip", { headers });
    expect(same.status).toBe(304);
    expect(same.headers.get("etag")).toBe(etag);
    expect(same.headers.get("vary")).toBe("Origin, Accept-Encoding");
    expect(same.headers.get("content-encoding")).toBeNull();
    expect((await get(path(), "identity", { headers })).status).toBe(200);
  });

  test("has the same headers for HEAD as for GET, in each coding", async () => {
    await upload("identity");
    for (const coding of ["identity", "gzip", "zstd"]) {
      const [ofGet, ofHead] = [
        await get(path(), coding),
        await get(path(), coding, { method: "HEAD" }),
      ];
      for (const name of ["etag", "vary", "content-encoding", "content-length", "content-type"]) {
        expect(ofHead.headers.get(name)).toBe(ofGet.headers.get(name));
      }
      expect((await ofHead.bytes()).length).toBe(0);
    }
  });
});

describe("what is small", () => {
  test("stays as it is: a problem, and whether the service lives", async () => {
    for (const path of ["/nowhere", "/livez", "/docs/start.js"]) {
      expect((await get(path, "gzip, zstd")).headers.get("content-encoding")).toBeNull();
    }
    const headers = { Authorization: `Bearer ${key}`, "Accept-Encoding": "gzip" };
    const refused = await postJson(service, "/embed-text", {}, headers);
    expect(refused.status).toBe(422);
    expect(refused.headers.get("content-encoding")).toBeNull();
  });
});

describe("the documentation", () => {
  for (const path of ["/openapi.json", "/docs/swagger-ui-bundle.js", "/docs/swagger-ui.css"]) {
    test(`${path} comes compressed for whoever asks, and whole for others`, async () => {
      const whole = await bodyOf(await get(path, "identity"));
      for (const coding of ["gzip", "zstd"]) {
        const response = await get(path, coding);
        expect(response.headers.get("content-encoding")).toBe(coding);
        const small = await bodyOf(response);
        expect(small.text).toBe(whole.text);
        expect(small.bytes).toBeLessThan(whole.bytes / 2.5);
      }
    });
  }
});
