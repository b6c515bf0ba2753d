/** `POST /embed-text`: what it takes, what it answers, and what it refuses. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readdir } from "node:fs/promises";
import { limits } from "../../src/limits.ts";
import { expectProblem, postJson, send } from "../support/client.ts";
import { startService, type TestService } from "../support/service.ts";

interface TextAnswer {
  readonly status: string;
  readonly model: string;
  readonly dimensions: number;
  readonly truncated: boolean | readonly boolean[];
  readonly vector?: readonly number[];
  readonly vectors?: readonly (readonly number[])[];
}

let service: TestService;

beforeAll(async () => {
  service = await startService();
});

afterAll(() => service.stop());

const post = (body: unknown, query = "") => postJson(service, `/embed-text${query}`, body);

async function answerTo(text: unknown, query = ""): Promise<TextAnswer> {
  const response = await post({ text }, query);
  const body = await response.text();
  expect({ status: response.status, body }).toMatchObject({ status: 200 });
  return JSON.parse(body);
}

const longText = "harbour ".repeat(100);

test("a string becomes one vector, and nothing is kept", async () => {
  const answer = await answerTo("a photo of a cat");
  expect(Object.keys(answer)).toEqual(["status", "model", "dimensions", "truncated", "vector"]);
  expect(answer).toMatchObject({
    status: "success",
    model: "clip-ViT-B-32@synthetic",
    dimensions: 512,
    truncated: false,
  });
  expect(answer.vector).toHaveLength(512);
  for (const value of answer.vector ?? []) expect(Math.fround(value)).toBeCloseTo(value, 6);
  expect(await readdir(service.downloadsDir)).toEqual([]);
});

test("an array becomes vectors in its order, each that of the text alone", async () => {
  const texts = ["a photo of a cat", longText, "", "a photo of a cat"];
  const { vectors, truncated, dimensions, vector } = await answerTo(texts);
  expect(vector).toBeUndefined();
  expect(dimensions).toBe(512);
  expect(truncated).toEqual([false, true, false, false]);
  expect(vectors).toHaveLength(4);
  for (const [index, text] of texts.entries()) {
    const alone = (await answerTo(text)).vector ?? [];
    expect(greatestDifference(vectors?.[index] ?? [], alone)).toBeLessThan(1e-5);
  }
});

test("an array of one has lists of one", async () => {
  const { vectors, truncated } = await answerTo(["a"]);
  expect([vectors?.length, truncated]).toEqual([1, [false]]);
});

test("a text that is too long for the model is cut and says so", async () => {
  const cut = await answerTo(longText);
  expect(cut.truncated).toBe(true);
  expect(cut.vector).toEqual((await answerTo(`${longText} and more`)).vector ?? []);
});

test("normalize=true gives vectors of unit length, in the same direction", async () => {
  const raw = (await answerTo("a cat")).vector ?? [];
  const unit = (await answerTo("a cat", "?normalize=true")).vector ?? [];
  expect(Math.hypot(...unit)).toBeCloseTo(1, 5);
  const length = Math.hypot(...raw);
  expect(
    greatestDifference(
      unit,
      raw.map((value) => value / length),
    ),
  ).toBeLessThan(1e-5);
});

for (const model of ["clip-ViT-B-32", "clip-ViT-B-32@synthetic"]) {
  test(`the model may be named ${model}`, async () => {
    expect((await answerTo("a", `?model=${model}`)).model).toBe("clip-ViT-B-32@synthetic");
  });
}

test("a model of images alone is unknown here, and the answer says why and which there are", async () => {
  const response = await post({ text: "a" }, "?model=nv-dinov2");
  const { detail } = await expectProblem(response, "unknown-model");
  expect(detail).toMatch(/nv-dinov2.*no texts.*clip-ViT-B-32@synthetic/);
});

test("a model that nobody has is unknown", async () => {
  await expectProblem(await post({ text: "a" }, "?model=bert"), "unknown-model");
});

for (const [what, text, errors] of [
  ["missing", undefined, [{ pointer: "/text", message: "it is missing" }]],
  ["null", null, [{ pointer: "/text", message: "expected string or array" }]],
  ["a number", 5, [{ pointer: "/text", message: "expected string or array" }]],
  ["an object", { a: "b" }, [{ pointer: "/text", message: "expected string or array" }]],
  [
    "no text at all",
    [],
    [{ pointer: "/text", message: "expected array length to be greater or equal to 1" }],
  ],
  [
    "257 texts",
    Array.from({ length: 257 }, () => "a"),
    [{ pointer: "/text", message: "expected array length to be less or equal to 256" }],
  ],
  [
    "a list with other things in it",
    ["a", 5, "b", null, ["c"]],
    ["/text/1", "/text/3", "/text/4"].map((pointer) => ({ pointer, message: "expected string" })),
  ],
] as const) {
  test(`a text that is ${what} is refused, and the answer points at it`, async () => {
    const answer = await expectProblem(await post({ text }), "validation-failed");
    expect(answer.errors).toEqual([...errors]);
  });
}

test("of a thousand faults some are told", async () => {
  const text = Array.from({ length: 1000 }, () => 5);
  const { errors } = await expectProblem(await post({ text }), "validation-failed");
  expect(errors).toHaveLength(16);
});

test("256 texts are taken, and each has a vector", async () => {
  const { vectors, truncated } = await answerTo(Array.from({ length: 256 }, (_, i) => `${i}`));
  expect(vectors).toHaveLength(256);
  expect(truncated).toHaveLength(256);
  expect(new Set(vectors?.map((vector) => vector[0])).size).toBeGreaterThan(200);
});

for (const [what, text] of [
  ["empty", ""],
  ["white space", " \n\t "],
  ["NUL", "\0"],
  ["control characters, escaped", "\u0001\u001f\u007f"],
  ["half a surrogate pair", "\ud83d"],
  ["emoji and other scripts", "🏞️ 港の写真 صورة"],
  ["the model's own markup", "<|endoftext|>"],
] as const) {
  test(`a text of ${what} is a text`, async () => {
    const { vector = [], truncated } = await answerTo(text);
    expect(vector).toHaveLength(512);
    expect(vector.every(Number.isFinite)).toBe(true);
    expect(truncated).toBe(false);
  });
}

test("half a surrogate pair is read as the replacement character", async () => {
  const { vector } = await answerTo("a \ud83d b");
  expect(vector).toEqual((await answerTo("a \ufffd b")).vector ?? []);
});

test("white space around a text makes no difference", async () => {
  expect((await answerTo(" a  cat\n")).vector).toEqual((await answerTo("a cat")).vector ?? []);
});

for (const [what, raw] of [
  ["a raw line break", "\n"],
  ["a raw NUL", "\0"],
  ["a raw tab", "\t"],
] as const) {
  test(`${what} inside a JSON string is not JSON`, async () => {
    await expectProblem(await post(`{"text": "a${raw}b"}`), "malformed-body");
  });
}

test("raw line breaks between tokens are JSON", async () => {
  expect((await post('{\r\n"text":\n"a"\r\n}')).status).toBe(200);
});

test("a mebibyte of text is taken, commas and all, and one byte more is not", async () => {
  const frame = JSON.stringify({ text: "" }).length;
  const commas = `${"a, ".repeat(20_000)}`;
  const text = commas.padEnd(limits.maxTextBodyBytes - frame, "x");
  expect((await answerTo(text)).truncated).toBe(true);
  const { detail } = await expectProblem(await post({ text: `${text}x` }), "body-too-large");
  expect(detail).toContain("1048576");
});

test("ten megabytes of text are too large", async () => {
  const response = await post({ text: "a ".repeat(5_000_000) });
  await expectProblem(response, "body-too-large");
});

test("a smaller MAX_BODY_BYTES bounds texts too", async () => {
  await using small = await startService({ MAX_BODY_BYTES: "1048", MAX_IMAGE_BYTES: "1024" });
  const response = await postJson(small, "/embed-text", { text: "a".repeat(1100) });
  await expectProblem(response, "body-too-large");
});

test("more brackets and commas than any texts need are refused unparsed", async () => {
  const { detail } = await expectProblem(
    await post(`{"text":[${"[],".repeat(40_000)}[]]}`),
    "malformed-body",
  );
  expect(detail).toContain("65536 values");
});

test("a trailing slash and unknown fields change nothing", async () => {
  const response = await postJson(service, "/embed-text/", { text: "a", user: "x" });
  expect(response.status).toBe(200);
});

test("the answer says how long the queue and the inference took, and the log which model answered", async () => {
  const headers = { "X-Request-Id": "text-1" };
  const response = await postJson(service, "/embed-text", { text: "a" }, headers);
  expect(response.headers.get("server-timing")).toMatch(/queue;dur=.*infer;dur=.*total;dur=/);
  const line = service.log.find((one) => one.includes('"text-1"'));
  expect(JSON.parse(line ?? "{}")).toMatchObject({ model: "clip-ViT-B-32@synthetic", status: 200 });
});

test("no text gets into the log", async () => {
  await answerTo("xylophone-unmistakable");
  await post('{"text": "xylophone-unmistakable');
  await post({ text: ["xylophone-unmistakable", 5] });
  expect(service.log.join("")).not.toContain("xylophone");
});

test("without weights texts are refused as images are, with a sentence about the weights", async () => {
  await using bare = await startService({ CLIP_WEIGHTS: "openai" });
  const response = await postJson(bare, "/embed-text", { text: "a" });
  const { detail } = await expectProblem(response, "model-unavailable");
  expect(detail).toContain("clip-ViT-B-32");
});

test("a full house refuses texts too", async () => {
  await using full = await startService({ QUEUE_LIMIT: "0" });
  const response = await postJson(full, "/embed-text", { text: "a" });
  expect(response.headers.get("retry-after")).toMatch(/^[1-9]/);
  await expectProblem(response, "overloaded");
});

test("GET is a 405", async () => {
  await expectProblem(await send(service, "/embed-text"), "method-not-allowed");
});

function greatestDifference(a: readonly number[], b: readonly number[]): number {
  expect(a.length).toBe(b.length);
  return Math.max(...a.map((value, index) => Math.abs(value - (b[index] ?? Number.NaN))));
}
