/** Which web pages may call: CORS, and the refusal of foreign origins. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { expectProblem, postJson, send } from "../support/client.ts";
import { connectRaw, headOf } from "../support/raw-client.ts";
import { startService, type TestService } from "../support/service.ts";

const listed = "https://app.example.com";
const foreign = "https://evil.example.com";
const exposed =
  "Retry-After, RateLimit, RateLimit-Policy, X-Request-Id, ETag, X-Cache, Server-Timing, X-Should-Retry, OpenAI-Processing-Ms";
const paths = [
  "/upload",
  "/vectorize-image",
  "/vectorize-image-base64",
  "/vectorize-image-upload",
] as const;

/** A request that is refused for its shape only, as its model is there. */
const local = "/vectorize-image?model=clip-ViT-B-32";

function preflight(service: TestService, path: string, origin: string): Promise<Response> {
  return send(service, path, {
    method: "OPTIONS",
    headers: {
      Origin: origin,
      "Access-Control-Request-Method": "POST",
      "Access-Control-Request-Headers": "content-type,x-request-id",
    },
  });
}

let service: TestService;
/** A second one, with `CORS_ORIGINS=*`. */
let open: TestService;

beforeAll(async () => {
  service = await startService({ CORS_ORIGINS: `http://localhost:3000,${listed}` });
  open = await startService({ CORS_ORIGINS: "*" });
});

afterAll(async () => {
  await service.stop();
  await open.stop();
});

for (const path of paths) {
  test(`a preflight of ${path} from a listed origin is answered with what it may send`, async () => {
    const { status, headers } = await preflight(service, path, listed);
    expect(status).toBe(204);
    expect(headers.get("access-control-allow-origin")).toBe(listed);
    expect(headers.get("access-control-allow-methods")).toContain("POST");
    expect(headers.get("access-control-allow-headers")?.toLowerCase()).toContain("content-type");
    expect(headers.get("access-control-allow-headers")?.toLowerCase()).toContain("x-request-id");
    expect(headers.get("access-control-allow-credentials")).toBe("true");
    expect(headers.get("vary")?.toLowerCase()).toContain("origin");
  });

  test(`a preflight of ${path} from another origin allows it nothing`, async () => {
    const { headers } = await preflight(service, path, foreign);
    expect(headers.get("access-control-allow-origin")).toBeNull();
  });

  test(`a POST ${path} from another origin is refused before its body is read`, async () => {
    const client = await connectRaw(service);
    client.write(
      headOf(path, {
        Origin: foreign,
        "Content-Type": "multipart/form-data; boundary=x",
        "Content-Length": 1000,
      }),
    );
    expect(await client.received(/"code":"forbidden-origin"/)).toStartWith("HTTP/1.1 403 ");
    client.hangUp();
  });
}

test("a preflight that asks for nothing names no undefined header", async () => {
  const response = await send(service, "/upload", {
    method: "OPTIONS",
    headers: { Origin: listed },
  });
  expect(JSON.stringify(Object.fromEntries(response.headers))).not.toContain("undefined");
});

for (const origin of [
  "null",
  "https://app.example.com.evil.example",
  "http://app.example.com",
  "https://app.example.com:8443",
  "https://APP.example.com@evil.example",
  "not an origin",
]) {
  test(`the origin "${origin}" is not a listed one`, async () => {
    const response = await postJson(service, local, {}, { Origin: origin });
    expect(response.headers.get("access-control-allow-origin")).toBeNull();
    await expectProblem(response, "forbidden-origin");
  });
}

test("a POST from a listed origin is served", async () => {
  const response = await postJson(service, local, {}, { Origin: listed });
  expect(response.headers.get("access-control-allow-origin")).toBe(listed);
  await expectProblem(response, "validation-failed");
});

test("a POST from our own pages is served", async () => {
  const own = await postJson(service, local, {}, { Origin: service.url.origin });
  await expectProblem(own, "validation-failed");
});

/** What a browser sends from a page that calls the host it was loaded from. */
function fromOwnPage(url: string): Record<string, string> {
  return { Host: new URL(url).host, Origin: new URL(url).origin };
}

describe("behind a proxy of the operator's own, as on an address that others reach", () => {
  let proxied: TestService;
  beforeAll(async () => {
    proxied = await startService({
      CLIP_WEIGHTS: "openai",
      // Every other model is refused at once.
      NVIDIA_API_KEY: "nvapi-fake",
      TRUSTED_PROXIES: "127.0.0.1",
    });
  });
  afterAll(() => proxied.stop());

  for (const page of [
    "https://images.example.com",
    "http://192.0.2.7:8000",
    "http://[2001:db8::1]:8000",
    "http://nas:8000",
    "http://nas.local",
    "http://images.corp.internal",
    "http://nas.home.arpa",
    "http://ec2-192-0-2-7.compute-1.amazonaws.com:8000",
  ]) {
    test(`a page of ${page} that was loaded from there may call`, async () => {
      const response = await postJson(proxied, "/vectorize-image", {}, fromOwnPage(page));
      await expectProblem(response, "validation-failed");
    });
  }

  test("a page that calls another host than its own may not", async () => {
    const headers = { Host: "images.example.com", Origin: "https://nas.local" };
    const response = await postJson(proxied, "/vectorize-image", {}, headers);
    await expectProblem(response, "forbidden-origin");
  });
});

test("a POST without an origin, as every client but a browser sends it, is served", async () => {
  await expectProblem(await postJson(service, local, {}), "validation-failed");
});

test("a GET from another origin is served, but the page may not read it", async () => {
  const response = await send(service, "/livez", { headers: { Origin: foreign } });
  expect(response.status).toBe(200);
  expect(response.headers.get("access-control-allow-origin")).toBeNull();
});

for (const [what, request] of [
  ["404", () => send(service, "/nothing", { headers: { Origin: listed } })],
  ["405", () => send(service, "/upload", { headers: { Origin: listed } })],
  ["415", () => postJson(service, "/upload", {}, { Origin: listed })],
  ["400", () => postJson(service, local, "{", { Origin: listed })],
  ["422", () => postJson(service, local, {}, { Origin: listed })],
  [
    "503",
    () => {
      const body = { image_base64: "AAAA" };
      return postJson(service, "/vectorize-image-base64", body, { Origin: listed });
    },
  ],
] as const) {
  test(`a ${what} carries the CORS headers, so that the page can read why`, async () => {
    const { status, headers } = await request();
    expect(String(status)).toBe(what);
    expect(headers.get("access-control-allow-origin")).toBe(listed);
    expect(headers.get("access-control-expose-headers")).toBe(exposed);
  });
}

test("a refused origin's answer has the exposed headers too", async () => {
  const response = await postJson(service, local, {}, { Origin: foreign });
  expect(response.headers.get("access-control-expose-headers")).toBe(exposed);
});

test("with CORS_ORIGINS=* every origin may call, without credentials", async () => {
  for (const response of [
    await preflight(open, "/upload", foreign),
    await postJson(open, local, {}, { Origin: foreign }),
  ]) {
    expect(response.headers.get("access-control-allow-origin")).toBe("*");
    expect(response.headers.get("access-control-allow-credentials")).toBeNull();
  }
});

test("with CORS_ORIGINS=* a sandboxed page, whose origin is null, may call too", async () => {
  const response = await postJson(open, local, {}, { Origin: "null" });
  await expectProblem(response, "validation-failed");
});
test("the two usual front ends of development may call without any setting", async () => {
  await using plain = await startService({ CLIP_WEIGHTS: "openai" });
  for (const origin of ["http://localhost:3000", "http://localhost:5173"]) {
    const { headers } = await preflight(plain, "/upload", origin);
    expect(headers.get("access-control-allow-origin")).toBe(origin);
  }
});

test("OPTIONS of a path that does not exist is a 404, from a listed origin too", async () => {
  for (const path of ["/nothing", "/upload/more", "/problems/a/b"]) {
    await expectProblem(await preflight(service, path, listed), "not-found");
    await expectProblem(await send(service, path, { method: "OPTIONS" }), "not-found");
  }
});

test("OPTIONS of a path that exists is answered, with a slash at its end too", async () => {
  for (const path of ["/", "/upload/", "/livez", "/problems/overloaded", "/openapi.json"]) {
    expect((await preflight(service, path, listed)).status).toBe(204);
  }
});
