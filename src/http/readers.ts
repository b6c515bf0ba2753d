/** How each request shape is read: what is known before its body is refused first, then it is admitted and parsed. */
import type { InputKind } from "../backends/job.ts";
import type { Admission, Ticket } from "../core/admission.ts";
import type { Problem } from "../errors.ts";
import { limits } from "../limits.ts";
import type { TrustedProxies } from "../net/client-address.ts";
import type { JsonParser } from "../sources/json-parser.ts";
import { receiveForm } from "../sources/upload.ts";
import type { Downloads } from "../store/downloads.ts";
import { decodeText, type JsonRules, refuseManyValues } from "../text/json-body.ts";
import {
  contentLengthOf,
  countedBody,
  mediaTypeOf,
  readPieces,
  refuseLongContent,
  requireMediaType,
} from "./body.ts";
import { type Call, type Calls, callOf } from "./call.ts";
import { clientOf } from "./client.ts";

export interface ReaderOptions {
  readonly calls: Calls;
  readonly admission: Admission;
  readonly trustedProxies: TrustedProxies;
  readonly downloads: Downloads;
  readonly jsonParser: Pick<JsonParser, "parse">;
  readonly maxBodyBytes: number;
  readonly maxImageBytes: number;
}

/** What Elysia gives its parsers, before anything is validated. */
interface Received {
  readonly request: Request;
  readonly query: Readonly<Record<string, unknown>>;
}

/** An Elysia parser: what it returns is validated by the route's schema. */
type Reader = (received: Received) => Promise<unknown>;

/** The problem that a request for this model would meet, if one is known before its body is read. */
export type ModelCheck = (model: string | undefined) => Problem | undefined;

/** Makes the reader of one route. */
type ReaderFor = (check: ModelCheck) => Reader;

/** One kind of reader a request shape. */
export interface Readers {
  /** JSON with a URL. */
  readonly json: ReaderFor;
  /** JSON with an image, of which the bytes are given; its base64 may be wrapped: raw line breaks are dropped. */
  readonly jsonWithImage: ReaderFor;
  /** JSON with texts. */
  readonly jsonWithTexts: ReaderFor;
  /** JSON with texts and an image: a raw line break is a space, so that words stay apart. */
  readonly jsonWithImageAndTexts: ReaderFor;
  /** JSON with `input`: texts and images, as an OpenAI embeddings request has them. */
  readonly jsonWithInputs: Reader;
  /** A form of text fields, urlencoded or multipart. */
  readonly form: ReaderFor;
  /** A multipart form with one stored part called `file`. */
  readonly upload: ReaderFor;
}

/** How one shape is read. */
interface Shape {
  readonly mediaTypes: readonly string[];
  readonly maxBytes: number;
  readonly kinds: readonly InputKind[];
  readonly read: (request: Request, call: Call, ticket: Ticket) => Promise<unknown>;
}

const urlencoded = "application/x-www-form-urlencoded";
const multipart = "multipart/form-data";

/** Makes the readers; each throws Problems of its own. */
export function createReaders(options: ReaderOptions): Readers {
  const { downloads, jsonParser, maxBodyBytes, maxImageBytes } = options;

  const maxUrlBodyBytes = Math.min(maxBodyBytes, limits.maxUrlBodyBytes);
  // Base64 takes 4/3 of the bytes, wrapped and escaped somewhat more.
  const maxBase64Bytes = maxImageBytes * 1.5;
  const maxImageBodyBytes = Math.min(maxBodyBytes, maxBase64Bytes + limits.maxJsonFrameBytes);
  const maxTextBodyBytes = Math.min(maxBodyBytes, limits.maxTextBodyBytes);
  const maxImageAndTextsBytes = Math.min(maxBodyBytes, maxBase64Bytes + limits.maxTextBodyBytes);

  const readerFor = createReaderFor(options);

  const readJson = (
    maxBytes: number,
    rules: Partial<JsonRules> = {},
    kinds: readonly InputKind[] = ["image"],
  ): ReaderFor =>
    readerFor({
      mediaTypes: ["application/json"],
      maxBytes,
      kinds,
      read: async (request, _call, { hold }) => {
        const pieces = await readPieces(request, maxBytes, hold);
        const allRules = { maxValues: limits.maxJsonValues, maxImageBytes, ...rules };
        return await jsonParser.parse({ pieces, rules: allRules }, request.signal);
      },
    });

  const readForm = (request: Request, call: Call, fileField?: string) =>
    receiveForm({
      openBody: (stop) => countedBody(request, maxBodyBytes, stop),
      contentType: request.headers.get("content-type") ?? "",
      contentLength: contentLengthOf(request),
      ...(fileField === undefined ? {} : { fileField }),
      maxFileBytes: maxImageBytes,
      signal: request.signal,
      openSpool: async () => {
        const spool = await downloads.openSpool();
        call.spools.push(spool);
        return spool;
      },
    });

  const imageField = "image_base64";
  const maxValues = limits.maxTextJsonValues;
  return {
    json: readJson(maxUrlBodyBytes),
    jsonWithImage: readJson(maxImageBodyBytes, { lineBreak: "", imageField }),
    jsonWithTexts: readJson(maxTextBodyBytes, { maxValues }, ["text"]),
    jsonWithImageAndTexts: readJson(
      maxImageAndTextsBytes,
      { lineBreak: " ", imageField, maxValues },
      ["image", "text"],
    ),
    // What it brings, and for which model, is known only when its body is there.
    jsonWithInputs: readJson(maxBodyBytes, { maxValues, hasInputs: true }, [])(() => undefined),
    form: readerFor({
      mediaTypes: [urlencoded, multipart],
      maxBytes: maxBodyBytes,
      kinds: ["image"],
      read: async (request, call, { hold }) => {
        if (mediaTypeOf(request) !== urlencoded) return await readForm(request, call);
        const text = decodeText(await readPieces(request, maxUrlBodyBytes, hold));
        refuseManyValues(text, ["&"], limits.maxJsonValues);
        // The first of a name counts, as in a multipart form.
        return Object.fromEntries([...new URLSearchParams(text)].reverse());
      },
    }),
    upload: readerFor({
      mediaTypes: [multipart],
      maxBytes: maxBodyBytes,
      kinds: ["image"],
      read: (request, call) => readForm(request, call, "file"),
    }),
  };
}

/** Makes what every reader does around its own reading: it refuses at once, reads the body, and lets it in. */
function createReaderFor({
  calls,
  admission,
  trustedProxies,
}: Pick<ReaderOptions, "calls" | "admission" | "trustedProxies">) {
  return ({ mediaTypes, maxBytes, kinds, read }: Shape): ReaderFor =>
    (check) =>
    async ({ request, query }) => {
      const call = callOf(calls, request);
      call.keepOpen();
      const ticket = admission.arrive(clientOf(request, call, trustedProxies), kinds);
      call.ticket = ticket;
      try {
        requireMediaType(request, mediaTypes);
        refuseLongContent(request, maxBytes);
        refuseModel(query, check);
        const body = await read(request, call, ticket);
        request.signal.throwIfAborted();
        ticket.enter();
        return body;
      } catch (error) {
        // At once, and not when a refused client has been heard out.
        ticket.release();
        throw error;
      }
    };
}

/** Whatever does not look like one model's name is for the schema to refuse. */
function refuseModel({ model }: Received["query"], check: ModelCheck): void {
  if (model !== undefined && (typeof model !== "string" || model.length > limits.maxModelChars)) {
    return;
  }
  const problem = check(model);
  if (problem !== undefined) throw problem;
}
