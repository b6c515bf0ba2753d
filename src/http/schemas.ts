/** The shapes of requests and answers: Elysia validates with them, and the OpenAPI document shows them. */
import { t } from "elysia";
import { limits } from "../limits.ts";
import type { StoredPart } from "../sources/upload.ts";
import type { ReadInput } from "../text/embedding-inputs.ts";

/**
 * Base64 to the client; from the reader its bytes come. Elysia's own default would take the place of what is
 * missing.
 */
function imageBase64(description: string, examples: readonly string[] = []) {
  const { default: _, ...schema } = t.ArrayBuffer();
  return t.Unsafe<ArrayBuffer>({
    ...schema,
    title: "Base64",
    description,
    ...(examples.length > 0 && { examples }),
  });
}

/** What a request has beyond the documented is ignored. */
const lenient = { additionalProperties: true };

/** Query of the request for a vector that is known. */
export const lookUpQuery = t.Object(
  {
    model: t.Optional(
      t.String({
        description:
          "The model that makes the vector: `clip-ViT-B-32`, or what CLIP_MODEL names, or `nv-dinov2`; each request has a default.",
        examples: ["clip-ViT-B-32", "nv-dinov2"],
        maxLength: limits.maxModelChars,
      }),
    ),
    normalize: t.Optional(
      t.BooleanString({
        description:
          "`true` scales the vector to unit length; the default is the model's raw output.",
      }),
    ),
  },
  lenient,
);

/** Query of every request that brings an image and answers a vector. */
export const embeddingQuery = t.Object(
  {
    ...lookUpQuery.properties,
    thumbnail: t.Optional(
      t.BooleanString({
        description: `\`true\` adds what was embedded as a small picture, at most ${limits.thumbnailSide} pixels wide and high.`,
      }),
    ),
  },
  lenient,
);

const textModel = t.Optional(
  t.String({
    description: "A model that takes texts: `clip-ViT-B-32`, or what CLIP_MODEL names.",
    examples: ["clip-ViT-B-32"],
    maxLength: limits.maxModelChars,
  }),
);

/** Query of the request for vectors of texts. */
export const textQuery = t.Object(
  { model: textModel, normalize: embeddingQuery.properties.normalize },
  lenient,
);

/** Query of the request whose body names its models. */
export const eachModelQuery = t.Object(
  {
    normalize: embeddingQuery.properties.normalize,
    thumbnail: embeddingQuery.properties.thumbnail,
  },
  lenient,
);

/** Query of the request that compares: its cosines are the same for vectors of any length. */
export const similarityQuery = t.Object({ model: textModel }, lenient);

const imageUrl = (description: string) =>
  t.String({
    description,
    minLength: 1,
    examples: [
      "https://upload.wikimedia.org/wikipedia/commons/e/e4/Morgan_Freeman_Deauville_2018.jpg",
    ],
  });

export const uploadUrlBody = t.Object(
  {
    imageUrl: imageUrl("Absolute http(s) URL of an image."),
  },
  lenient,
);

export const vectorizeUrlBody = t.Object(
  {
    image_url: imageUrl("Absolute http(s) URL of an image."),
  },
  lenient,
);

export const vectorizeBase64Body = t.Object(
  {
    image_base64: imageBase64(
      "The image as bare base64, base64url or a data: URI; line breaks are fine.",
      [onePixelPng()],
    ),
    filename: t.Optional(
      // Clients whose language has a null send it for a name that they do not have.
      t.Nullable(
        t.String({ description: "Echoed as original_filename.", examples: ["image.png"] }),
      ),
    ),
  },
  lenient,
);

/** What the multipart parser hands over: one stored part, instead of the file that the client sent. */
export const vectorizeUploadBody = t.Object(
  {
    file: t.Unsafe<StoredPart>(
      t.Object(
        { originalFilename: t.String(), sizeBytes: t.Number(), image: t.Object({}) },
        { title: "StoredPart" },
      ),
    ),
  },
  lenient,
);

export const embedTextBody = t.Object(
  {
    text: t.Union([t.String(), t.Array(t.String(), { minItems: 1, maxItems: limits.maxTexts })], {
      description: `One text, or up to ${limits.maxTexts}.`,
      examples: ["a photo of a cat"],
    }),
  },
  lenient,
);

export const similarityBody = t.Object(
  {
    image_url: t.Optional(
      t.Nullable(t.String({ description: "Absolute http(s) URL of an image." })),
    ),
    image_base64: t.Optional(t.Nullable(imageBase64("Instead of the URL: base64, as elsewhere."))),
    texts: t.Array(t.String(), {
      description: `What the image may show: 1 to ${limits.maxComparedTexts} texts.`,
      minItems: 1,
      maxItems: limits.maxComparedTexts,
    }),
  },
  {
    ...lenient,
    // Of the whole: one made from the fields would bring two images.
    examples: [
      { image_base64: onePixelPng(), texts: ["a photo of a cat", "a photo of the night sky"] },
    ],
  },
);

export const eachModelBody = t.Object(
  {
    image_url: similarityBody.properties.image_url,
    image_base64: similarityBody.properties.image_base64,
    models: t.Array(t.String({ maxLength: limits.maxModelChars }), {
      description: "The models that make a vector each, in the order of the answer.",
      minItems: 1,
      maxItems: limits.maxModels,
      uniqueItems: true,
    }),
    report: t.Optional(
      t.Nullable(t.Boolean({ description: "`true` adds what the image was found to be." })),
    ),
  },
  {
    ...lenient,
    examples: [{ image_base64: onePixelPng(), models: ["clip-ViT-B-32"], report: true }],
  },
);

const vector = t.Array(t.Number(), {
  description: "float32 values, each in its shortest decimal form.",
});
const model = t.String({
  description: "Exactly what made the vector.",
  examples: ["clip-ViT-B-32"],
});
const dimensions = t.Integer({ description: "Length of the vector.", examples: [512, 1536] });
const status = t.Literal("success");
const savedAs = t.String({
  description: "`<sha256 of the bytes>.<extension by their signature>`",
  examples: [`${"0123456789abcdef".repeat(4)}.jpg`],
});
const path = t.String({
  description: "`downloads/<saved_as>`",
  examples: [`downloads/${"0123456789abcdef".repeat(4)}.jpg`],
});
const originalFilename = t.String({
  description: `As sent, without control characters, at most ${limits.maxFilenameChars} characters.`,
});

const thumbnail = t.Optional(
  t.String({
    description:
      "With `thumbnail=true`, where one could be made: a `data:` URI of a JPEG or PNG, upright and without metadata.",
    maxLength: limits.maxThumbnailChars + 32,
  }),
);

export const uploadAnswer = t.Object({
  message: t.Literal("Image processed successfully"),
  embedding: vector,
  model,
  dimensions,
  thumbnail,
});

export const vectorizeUrlAnswer = t.Object({
  status,
  saved_as: savedAs,
  path,
  source_url: t.String(),
  vector,
  model,
  dimensions,
  thumbnail,
});

export const vectorizeBase64Answer = t.Object({
  status,
  original_filename: t.Optional(originalFilename),
  saved_as: savedAs,
  path,
  vector,
  model,
  dimensions,
  thumbnail,
});

export const vectorizeUploadAnswer = t.Object({
  status,
  original_filename: originalFilename,
  saved_as: savedAs,
  path,
  vector,
  model,
  dimensions,
  thumbnail,
});

const truncated = t.Boolean({ description: "Whether the end of the text was left out." });

export const embedTextAnswer = t.Union([
  t.Object({ status, model, dimensions, truncated, vector }),
  t.Object({
    status,
    model,
    dimensions,
    truncated: t.Array(truncated),
    vectors: t.Array(vector, { description: "One a text, in the order given." }),
  }),
]);

export const similarityAnswer = t.Object({
  status,
  model,
  results: t.Array(
    t.Object({
      text: t.String(),
      cosine: t.Number({ description: "From -1 to 1." }),
      probability: t.Number({ description: "Softmax of 100 times the cosines: the sum is 1." }),
      truncated,
    }),
    { description: "One a text, in the order given." },
  ),
});

const reportAnswer = t.Object(
  {
    format: t.String({ description: "By the bytes.", examples: ["jpg"] }),
    bytes: t.Integer({ description: "Of the file." }),
    width: t.Integer({ description: "Pixels of the picture as it is looked at: upright." }),
    height: t.Integer(),
    orientation: t.Integer({ description: "EXIF's, 1 to 8; 1 where there is none." }),
    orientation_applied: t.Boolean({ description: "Whether the picture was turned by it." }),
    colour_space: t.String({
      description: "In the file, as libvips names it; models see RGB.",
      examples: ["srgb", "b-w", "cmyk"],
    }),
    alpha: t.Boolean({ description: "Whether there is an alpha channel; it is dropped." }),
    frames: t.Integer({ description: "Frames or pages; the first is read." }),
    crop: t.Optional(
      t.Object(
        { left: t.Integer(), top: t.Integer(), width: t.Integer(), height: t.Integer() },
        {
          description:
            "The part of the upright picture that CLIP sees; the rest was cut away. NV-DINOv2 sees all of it, shrunk.",
        },
      ),
    ),
    hints: t.Array(t.Enum({ small: "too-small", black: "nearly-black", blurred: "blurred" }), {
      description:
        "Rules of thumb. `too-small`: the shorter side has less than 112 pixels. `nearly-black`: 98 of 100 pixels of the centre are darker than 24 of 255. `blurred`: scaled to 224 pixels, the centre has no sharp edge (variance of the Laplacian below 40), though it is not plain; fog and skin may be called so, and noise hides blur.",
    }),
  },
  { description: "What the image was found to be, where `report` is `true`." },
);

const problemOfOne = t.Object(
  {
    type: t.String(),
    title: t.String(),
    status: t.Integer(),
    detail: t.String(),
    code: t.String(),
    request_id: t.String(),
    origin_status: t.Optional(t.Integer()),
    errors: t.Optional(t.Array(t.Object({ pointer: t.String(), message: t.String() }))),
  },
  { description: "As an error answer has it." },
);

export const eachModelAnswer = t.Object({
  status,
  sha256: t.String({ examples: ["0123456789abcdef".repeat(4)] }),
  report: t.Optional(reportAnswer),
  thumbnail,
  results: t.Array(
    t.Union([
      t.Object({ model, dimensions, vector }),
      t.Object({ model: t.String({ description: "As asked." }), problem: problemOfOne }),
    ]),
    { description: "One a model, in the order asked." },
  ),
});

/** An image inside an OpenAI request: its reader takes it apart. */
const inputImage = t.String({
  description: "Absolute http(s) URL, data: URI, or bare base64.",
});

/** What may stand in a list of inputs. */
const oneInput = t.Union([
  t.String(),
  t.Object({ type: t.Optional(t.Literal("text")), text: t.String() }),
  t.Object({ type: t.Optional(t.Literal("image")), image: inputImage }),
  t.Object({ type: t.Optional(t.Literal("image_url")), image_url: t.Object({ url: inputImage }) }),
]);

/** What the client sends to the document; from the reader comes what it has made of it. */
const inputs = t.Unsafe<readonly ReadInput[]>({
  ...t.Any(),
  anyOf: [t.String(), t.Array(oneInput, { minItems: 1, maxItems: limits.maxTexts })],
  description: `A text, or a list of up to ${limits.maxTexts} texts and images in any order. A bare string is a text, unless \`modality\` is \`image\`. Token ids are refused.`,
  examples: ["a photo of a cat"],
});

export const openAiEmbeddingsBody = t.Object(
  {
    input: inputs,
    model: t.String({
      description:
        "`clip-ViT-B-32`, or what CLIP_MODEL names, takes texts and images; `nv-dinov2` images.",
      examples: ["clip-ViT-B-32"],
      maxLength: limits.maxModelChars,
    }),
    encoding_format: t.Optional(
      t.Nullable(
        t.Union([t.Literal("float"), t.Literal("base64")], {
          description:
            "`float` unless told; `base64` is that of the little-endian float32 values, which the SDKs ask for by themselves.",
        }),
      ),
    ),
    dimensions: t.Optional(
      t.Nullable(t.Integer({ description: "The model's own, or left out: nothing is cut." })),
    ),
    modality: t.Optional(
      t.Nullable(
        t.Union([t.Literal("text"), t.Literal("image")], {
          description: "What bare strings are; `text` unless told.",
        }),
      ),
    ),
    normalize: t.Optional(
      t.Nullable(
        t.Boolean({
          description:
            "Vectors of unit length, as OpenAI's are, unless `false`: then the model's raw output.",
        }),
      ),
    ),
    on_error: t.Optional(
      t.Nullable(
        t.Union([t.Literal("fail"), t.Literal("include")], {
          description:
            "`include`: an input that fails has an `error` and an empty `embedding`, and the others are answered.",
        }),
      ),
    ),
    user: t.Optional(t.Any({ description: "Ignored." })),
  },
  { ...lenient, examples: [{ model: "clip-ViT-B-32", input: "a photo of a cat" }] },
);

export const openAiEmbeddingsAnswer = t.Object({
  object: t.Literal("list"),
  data: t.Array(
    t.Object({
      object: t.Literal("embedding"),
      index: t.Integer({ description: "Place of the input in the request." }),
      embedding: t.Union([vector, t.String({ description: "As base64." })]),
      error: t.Optional(
        t.Object(
          { message: t.String(), param: t.String(), code: t.String() },
          { description: "Why there is no vector, where `on_error` is `include`." },
        ),
      ),
    }),
    { description: "One an input, in the order given." },
  ),
  model,
  usage: t.Object({
    prompt_tokens: t.Integer({ description: "Tokens that the model read; images have none." }),
    total_tokens: t.Integer(),
  }),
});

export const openAiModelParams = t.Object({
  id: t.String({ maxLength: limits.maxModelChars, examples: ["clip-ViT-B-32"] }),
});

export const openAiModel = t.Object({
  id: t.String({ examples: ["clip-ViT-B-32", "nv-dinov2"] }),
  object: t.Literal("model"),
  created: t.Integer({ description: "Not known: 0." }),
  owned_by: t.String(),
});

export const openAiModels = t.Object({ object: t.Literal("list"), data: t.Array(openAiModel) });

/** What names an image in a path. */
export const imageParams = t.Object({
  sha256: t.String({
    description: "SHA-256 of the image's bytes, 64 hex digits.",
    pattern: "^[0-9A-Fa-f]{64}$",
    examples: ["0123456789abcdef".repeat(4)],
  }),
});

export const lookUpAnswer = t.Object({
  status,
  sha256: t.String({ examples: ["0123456789abcdef".repeat(4)] }),
  model,
  dimensions,
  vector,
});

export const liveAnswer = t.Object({ status: t.Literal("alive") });

export const readyAnswer = t.Object({
  status: t.Union([t.Literal("ready"), t.Literal("not-ready"), t.Literal("draining")]),
  models: t.Array(
    t.Object({
      id: t.String(),
      state: t.Union([t.Literal("ready"), t.Literal("loading"), t.Literal("unavailable")]),
      why: t.Optional(t.String()),
      retry_after: t.Optional(
        t.Integer({ description: "Seconds until a download is done, or tried again." }),
      ),
    }),
  ),
});

/** The smallest picture that makes the documentation's example work as it stands. */
function onePixelPng(): string {
  return "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==";
}
