/** Python's clients: `openai`, `langchain-openai` and `llama-index-embeddings-openai`. */
import { expect, test } from "bun:test";
import { answerOf, base64Of, postJson } from "../support/client.ts";
import { leftOut } from "../support/left-out.ts";
import { makeJpeg } from "../support/pictures.ts";
import { startService } from "../support/service.ts";

const model = "clip-ViT-B-32";
const texts = ["a photo of a cat", "the night sky"];

test("Python's clients get the vectors that the service's own requests give", async () => {
  const python = Bun.env["OPENAI_PYTHON"];
  if (!python) return leftOut("Python's clients: OPENAI_PYTHON names no Python that has them");
  await using service = await startService();
  const image = `data:image/jpeg;base64,${base64Of(await makeJpeg())}`;
  const script = `${import.meta.dir}/python-clients.py`;
  const call = [python, script, `${service.url.origin}/v1`, model, image, ...texts];
  const env = { ...Bun.env, no_proxy: "127.0.0.1" };
  const asking = Bun.spawn(call, { env, stdout: "pipe", stderr: "inherit" });
  const got = JSON.parse(await asking.stdout.text());

  for (const [index, text] of texts.entries()) {
    const response = await postJson(service, "/embed-text?normalize=true", { text });
    const { vector } = await answerOf(response);
    for (const client of ["openai", "floats", "langchain", "llama_index"]) {
      expectSame(got[client][index], vector);
    }
  }
  const path = `/vectorize-image-base64?model=${model}&normalize=true`;
  const picture = await answerOf(await postJson(service, path, { image_base64: image }));
  expectSame(got.picture, picture.vector);
  expect(got.usage).toBe(7 + 5);
  expect(got.models).toEqual([model, "nv-dinov2"]);
  expect(got.unknown).toEqual(["NotFoundError", 404, "model_not_found", "model"]);
  expect(got["token ids"]).toEqual(["BadRequestError", 400, "validation-failed", "input"]);
});

/** In another batch the last bits may differ. */
function expectSame(got: readonly number[], wanted: readonly number[]): void {
  expect(got).toHaveLength(wanted.length);
  const differences = wanted.map((value, index) => Math.abs(value - (got[index] ?? Number.NaN)));
  expect(Math.max(...differences)).toBeLessThan(1e-5);
}
