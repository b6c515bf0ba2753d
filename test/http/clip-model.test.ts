/** A service whose local model is another member of the family. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { postJson } from "../support/client.ts";
import { startService, type TestService } from "../support/service.ts";

let service: TestService;

beforeAll(async () => {
  service = await startService({ CLIP_MODEL: "clip-ViT-B-16", CLIP_WEIGHTS: "openai" });
});
afterAll(() => service.stop());

async function problemOf(response: Response) {
  const { code, detail }: { code: string; detail: string } = JSON.parse(await response.text());
  return { status: response.status, code, detail };
}

test("it is the default of /upload, and says how its weights are to be had", async () => {
  const body = new URLSearchParams({ imageUrl: "https://example.com/a.png" });
  const response = await fetch(new URL("/upload", service.url), { method: "POST", body });
  expect(await problemOf(response)).toEqual({
    status: 503,
    code: "model-unavailable",
    detail:
      'No SHA-256 of its published weights is known here. Pin your own file with "imagesvc models import DIR --sha256 HEX --model clip-ViT-B-16"; or start with CLIP_WEIGHTS=synthetic to try the service without them, or ask for another model with ?model=.',
  });
});

test.each([
  ["clip-ViT-B-16", 503, "model-unavailable"],
  ["clip-ViT-B-32", 422, "unknown-model"],
  ["clip-ViT-B-16@0123abcd", 422, "unknown-model"],
])("?model=%s is %d %s", async (model, status, code) => {
  const image = { image_base64: "AAAA" };
  const response = await postJson(service, `/vectorize-image-base64?model=${model}`, image);
  const problem = await problemOf(response);
  expect(problem).toMatchObject({ status, code });
  if (code === "unknown-model") expect(problem.detail).toContain("clip-ViT-B-16, nv-dinov2");
});
