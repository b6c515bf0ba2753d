/** `CLIP_PRECISION=int8`: images in 8-bit arithmetic under an id of their own, texts as ever. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { cosineSimilarity } from "../../src/vector/similarity.ts";
import { base64Of, expectProblem, postJson } from "../support/client.ts";
import { defaultModel } from "../support/default-model.ts";
import { type Bytes, makeJpeg } from "../support/pictures.ts";
import { startService, type TestService } from "../support/service.ts";

const exact = `${defaultModel.id}@synthetic-int8`;
const fp32 = `${defaultModel.id}@synthetic`;

let service: TestService;
let jpeg: Bytes;

beforeAll(async () => {
  jpeg = await makeJpeg();
  service = await startService({ CLIP_PRECISION: "int8" });
});

afterAll(() => service.stop());

interface Answer {
  readonly model: string;
  readonly vector: readonly number[];
}

async function embed(from: TestService, model: string): Promise<Answer> {
  const body = { image_base64: base64Of(jpeg) };
  const path = `/vectorize-image-base64?model=${encodeURIComponent(model)}`;
  return JSON.parse(await (await postJson(from, path, body)).text());
}

test("images are answered under the int8 id, plain and exact, and near the fp32 vector", async () => {
  const answer = await embed(service, defaultModel.id);
  expect(answer.model).toBe(exact);
  expect(await embed(service, exact)).toEqual(answer);
  await using other = await startService();
  const reference = await embed(other, defaultModel.id);
  expect(reference.model).toBe(fp32);
  expect(answer.vector).not.toEqual(reference.vector);
  const cosine = cosineSimilarity(
    Float32Array.from(answer.vector),
    Float32Array.from(reference.vector),
  );
  expect(cosine).toBeGreaterThan(0.999);
  await expectProblem(
    await postJson(other, `/vectorize-image-base64?model=${encodeURIComponent(exact)}`, {
      image_base64: base64Of(jpeg),
    }),
    "unknown-model",
  );
});

test("an image id that is not what is loaded is unknown, and the sentence says what is", async () => {
  const response = await postJson(
    service,
    `/vectorize-image-base64?model=${encodeURIComponent(fp32)}`,
    { image_base64: base64Of(jpeg) },
  );
  const problem = await expectProblem(response, "unknown-model");
  expect(problem.detail).toContain(`${defaultModel.id}, ${exact}`);
});

test("texts keep the fp32 id, whichever of the names asks", async () => {
  for (const model of [defaultModel.id, fp32, exact]) {
    const path = `/embed-text?model=${encodeURIComponent(model)}`;
    const answer = await postJson(service, path, { text: "a photo of a cat" });
    expect(await answer.json()).toMatchObject({ status: "success", model: fp32 });
  }
});

test("OpenAI's clients, too, may ask for texts by the id that their answers have, and not for images", async () => {
  const ask = async (input: unknown) =>
    await postJson(service, "/v1/embeddings", { model: fp32, input });
  const texts = await ask(["a", "b"]);
  expect([texts.status, JSON.parse(await texts.text()).model]).toEqual([200, fp32]);
  const image = await ask([{ image: base64Of(jpeg) }]);
  expect(image.status).toBe(400);
  expect(await image.text()).toContain("embeds texts, but no images");
});

test("an image is compared with texts under the int8 id", async () => {
  for (const model of [defaultModel.id, exact]) {
    const path = `/similarity?model=${encodeURIComponent(model)}`;
    const body = { image_base64: base64Of(jpeg), texts: ["a cat", "a dog"] };
    expect(await (await postJson(service, path, body)).json()).toMatchObject({ model: exact });
  }
});

test("readiness and the log name it", async () => {
  const ready = await (await fetch(new URL("/readyz", service.url))).json();
  expect(JSON.stringify(ready)).toContain(`"${exact}"`);
  expect(service.log.join("")).toContain(exact);
});
