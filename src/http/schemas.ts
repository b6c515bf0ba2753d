/** The shapes of requests and answers: Elysia validates with them, and the OpenAPI document shows them. */
import { type TSchema, t } from "elysia";
import { type ProblemCode, problems } from "../errors.ts";
import { limits } from "../limits.ts";
import type { StoredPart } from "../sources/upload.ts";

/** What a request has beyond the documented is ignored. */
const lenient = { additionalProperties: true };

/** Query of every request that answers a vector. */
export const embeddingQuery = t.Object(
  {
    model: t.Optional(
      t.String({
        description:
          "The model that makes the vector: `clip-ViT-B-32` or `nv-dinov2`; each request has a default.",
        examples: ["clip-ViT-B-32", "nv-dinov2"],
        maxLength: 100,
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
    image_base64: t.String({
      description: "The image as bare base64, base64url or a data: URI; line breaks are fine.",
      examples: [onePixelPng()],
    }),
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

export const uploadAnswer = t.Object({
  message: t.Literal("Image processed successfully"),
  embedding: vector,
  model,
  dimensions,
});

export const vectorizeUrlAnswer = t.Object({
  status,
  saved_as: savedAs,
  path,
  source_url: t.String(),
  vector,
  model,
  dimensions,
});

export const vectorizeBase64Answer = t.Object({
  status,
  original_filename: t.Optional(originalFilename),
  saved_as: savedAs,
  path,
  vector,
  model,
  dimensions,
});

export const vectorizeUploadAnswer = t.Object({
  status,
  original_filename: originalFilename,
  saved_as: savedAs,
  path,
  vector,
  model,
  dimensions,
});

export const liveAnswer = t.Object({ status: t.Literal("alive") });

export const readyAnswer = t.Object({
  status: t.Union([t.Literal("ready"), t.Literal("not-ready"), t.Literal("draining")]),
  models: t.Array(
    t.Object({
      id: t.String(),
      state: t.Union([t.Literal("ready"), t.Literal("loading"), t.Literal("unavailable")]),
      why: t.Optional(t.String()),
    }),
  ),
});

/** The body of the problems that share a status, with the first as the example. */
const problemBody = (codes: readonly ProblemCode[], httpStatus: number) => {
  const examples = codes.slice(0, 1);
  return t.Object(
    {
      type: t.String({
        description: "Path of a page that explains the problem.",
        examples: examples.map((code) => `/problems/${code}`),
      }),
      title: t.String({ examples: examples.map((code) => problems[code].title) }),
      status: t.Integer({ examples: [httpStatus] }),
      detail: t.String({ description: "What to change." }),
      code: t.Union(codes.map((code) => t.Literal(code))),
      request_id: t.String(),
      ...(codes.includes("origin-error") && { origin_status: originStatus }),
      ...(codes.includes("validation-failed") && { errors: fieldFaults }),
    },
    { description: codes.map((code) => `\`${code}\`: ${problems[code].title}.`).join(" ") },
  );
};

const originStatus = t.Optional(t.Integer({ description: "What the image's host answered." }));
const fieldFaults = t.Optional(
  t.Array(
    t.Object({
      pointer: t.String({ description: "Where in the body, as in RFC 6901." }),
      message: t.String(),
    }),
  ),
);

/** The problems that a request can meet, as Elysia's `response` table: one schema a status. */
export function problemAnswers(codes: readonly ProblemCode[]): Record<number, TSchema> {
  const byStatus = Map.groupBy(codes, (code) => problems[code].status);
  return Object.fromEntries(
    [...byStatus].map(([httpStatus, some]) => [httpStatus, problemBody(some, httpStatus)]),
  );
}

/** The smallest picture that makes the documentation's example work as it stands. */
function onePixelPng(): string {
  return "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==";
}
