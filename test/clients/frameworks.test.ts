/** What is built on OpenAI's API: LangChain, LlamaIndex, the AI SDK, and curl as OpenAI documents it. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { OpenAIEmbeddings } from "@langchain/openai";
import { OpenAIEmbedding } from "@llamaindex/openai";
import { APICallError, embedMany } from "ai";
import { answerOf, postJson } from "../support/client.ts";
import { leftOut } from "../support/left-out.ts";
import { startService, type TestService } from "../support/service.ts";

const model = "clip-ViT-B-32";
const apiKey = "unused";
const texts = ["a photo of a cat", "the night sky", ""];
let service: TestService;
let baseURL: string;

beforeAll(async () => {
  service = await startService();
  baseURL = `${service.url.origin}/v1`;
});

afterAll(() => service.stop());

/** The same texts' vectors by the service's own request, one by one. */
async function expected(): Promise<readonly (readonly number[])[]> {
  const vectors: (readonly number[])[] = [];
  for (const text of texts) {
    const response = await postJson(service, "/embed-text?normalize=true", { text });
    vectors.push((await answerOf(response)).vector);
  }
  return vectors;
}

/** In another batch the last bits may differ. */
async function expectVectors(
  got: readonly (readonly number[])[],
  wanted?: readonly (readonly number[])[],
) {
  const vectors = wanted ?? (await expected());
  expect(got).toHaveLength(vectors.length);
  for (const [index, vector] of vectors.entries()) {
    const own = got[index] ?? [];
    expect(own).toHaveLength(vector.length);
    const difference = vector.map((value, at) => Math.abs(value - (own[at] ?? Number.NaN)));
    expect(Math.max(...difference)).toBeLessThan(1e-5);
  }
}

test("LangChain's OpenAIEmbeddings embeds documents and a query", async () => {
  const embeddings = new OpenAIEmbeddings({
    model,
    apiKey,
    configuration: { baseURL },
    batchSize: 256,
    stripNewLines: false,
  });
  const vectors = await expected();
  await expectVectors(await embeddings.embedDocuments(texts), vectors);
  await expectVectors([await embeddings.embedQuery(texts[0] ?? "")], vectors.slice(0, 1));
});

test("LlamaIndex's OpenAIEmbedding embeds a batch and a query", async () => {
  const embedding = new OpenAIEmbedding({
    // It knows no models but OpenAI's by type.
    model: model as "text-embedding-3-small",
    apiKey,
    baseURL,
  });
  const vectors = await expected();
  await expectVectors(await embedding.getTextEmbeddings(texts), vectors);
  const query = await embedding.getQueryEmbedding({ type: "text", text: texts[0] ?? "" });
  await expectVectors([query ?? []], vectors.slice(0, 1));
});

test("the AI SDK's embedMany embeds values, and counts their tokens", async () => {
  const provider = createOpenAICompatible({ name: "imagesvc", baseURL, apiKey });
  const { embeddings, usage } = await embedMany({
    model: provider.embeddingModel(model),
    values: texts,
  });
  await expectVectors(embeddings);
  expect(usage.tokens).toBe(7 + 5 + 2);
});

test("the AI SDK shows our message where a model is not served", async () => {
  const provider = createOpenAICompatible({ name: "imagesvc", baseURL, apiKey });
  const asked = embedMany({ model: provider.embeddingModel("gpt-9"), values: texts });
  const error = await asked.catch((thrown: unknown) => thrown);
  expect(APICallError.isInstance(error)).toBe(true);
  expect(error).toMatchObject({ statusCode: 404, isRetryable: false });
  expect(String(error)).toContain('The model "gpt-9" is not served here');
});

/** From https://platform.openai.com/docs/api-reference/embeddings/create, but for URL and model. */
const documentedCurl = `
curl URL/v1/embeddings \\
  -H "Authorization: Bearer $OPENAI_API_KEY" \\
  -H "Content-Type: application/json" \\
  -d '{
    "input": "The food was delicious and the waiter...",
    "model": "MODEL",
    "encoding_format": "float"
  }'`;

test("OpenAI's own curl line works with another URL and another model's name", async () => {
  if (Bun.which("curl") === null) return leftOut("OpenAI's curl line: there is no curl");
  const line = documentedCurl.replace("URL", service.url.origin).replace("MODEL", model);
  const env = { ...Bun.env, OPENAI_API_KEY: apiKey, no_proxy: "127.0.0.1" };
  const curl = Bun.spawn(["sh", "-c", line], { env, stdout: "pipe", stderr: "ignore" });
  const answer = JSON.parse(await curl.stdout.text());
  expect(Object.keys(answer)).toEqual(["object", "data", "model", "usage"]);
  expect(Object.keys(answer.data[0])).toEqual(["object", "index", "embedding"]);
  expect(answer.data[0].embedding).toHaveLength(512);
  expect(answer.usage).toEqual({ prompt_tokens: 10, total_tokens: 10 });
});
