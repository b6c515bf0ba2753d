/** How each request shape is read: admitted first, then parsed, before Elysia validates it. */
import type { InputKind } from "../backends/job.ts";
import type { Admission, Arrival } from "../core/admission.ts";
import { limits } from "../limits.ts";
import { receiveForm } from "../sources/upload.ts";
import type { Downloads } from "../store/downloads.ts";
import { countedBody, readJson, readText, requireMediaType } from "./body.ts";
import { type Call, type Calls, callOf } from "./call.ts";

export interface ReaderOptions {
  readonly calls: Calls;
  readonly admission: Admission;
  readonly downloads: Downloads;
  readonly maxBodyBytes: number;
  readonly maxImageBytes: number;
}

/** An Elysia parser: what it returns is validated by the route's schema. */
type Reader = (context: { readonly request: Request }) => Promise<unknown>;

/** One reader a request shape. */
export interface Readers {
  /** JSON, as it is. */
  readonly json: Reader;
  /** JSON whose base64 may be wrapped: raw line breaks are dropped. */
  readonly jsonWithWrappedBase64: Reader;
  /** JSON with texts, as it is. */
  readonly jsonWithTexts: Reader;
  /** JSON with texts, and with base64 that may be wrapped: a raw line break is a space, so that words stay apart. */
  readonly jsonWithImageAndTexts: Reader;
  /** A form of text fields, urlencoded or multipart. */
  readonly form: Reader;
  /** A multipart form with one stored part called `file`. */
  readonly upload: Reader;
}

/** Makes the readers; each throws Problems of its own. */
export function createReaders(options: ReaderOptions): Readers {
  const { calls, admission, downloads, maxBodyBytes, maxImageBytes } = options;

  const maxUrlBodyBytes = Math.min(maxBodyBytes, limits.maxUrlBodyBytes);
  // Base64 takes 4/3 of the bytes, wrapped and escaped somewhat more.
  const maxBase64Bytes = maxImageBytes * 1.5;
  const maxBase64BodyBytes = Math.min(maxBodyBytes, maxBase64Bytes + limits.maxJsonFrameBytes);
  const maxTextBodyBytes = Math.min(maxBodyBytes, limits.maxTextBodyBytes);
  const maxImageAndTextsBytes = Math.min(maxBodyBytes, maxBase64Bytes + limits.maxTextBodyBytes);
  const maxValues = limits.maxTextJsonValues;

  /** Reads the body of a request that may arrive, and lets it in. */
  const reader =
    (
      read: (request: Request, call: Call, arrival: Arrival) => Promise<unknown>,
      kinds: readonly InputKind[] = ["image"],
    ): Reader =>
    async ({ request }) => {
      const call = callOf(calls, request);
      call.keepOpen();
      const arrival = admission.arrive(kinds);
      try {
        const body = await read(request, call, arrival);
        call.ticket = admission.enter(kinds);
        return body;
      } finally {
        arrival.release();
      }
    };

  const multipart = (request: Request, call: Call, fileField?: string) =>
    receiveForm({
      openBody: (stop) => countedBody(request, maxBodyBytes, stop),
      contentType: request.headers.get("content-type") ?? "",
      ...(fileField === undefined ? {} : { fileField }),
      maxFileBytes: maxImageBytes,
      signal: request.signal,
      openSpool: async () => {
        const spool = await downloads.openSpool();
        call.spools.push(spool);
        return spool;
      },
    });

  return {
    json: reader((request, _call, { hold }) => readJson(request, maxUrlBodyBytes, { hold })),
    jsonWithWrappedBase64: reader((request, _call, { hold }) =>
      readJson(request, maxBase64BodyBytes, { lineBreak: "", hold }),
    ),
    jsonWithTexts: reader(
      (request, _call, { hold }) => readJson(request, maxTextBodyBytes, { maxValues, hold }),
      ["text"],
    ),
    jsonWithImageAndTexts: reader(
      (request, _call, { hold }) =>
        readJson(request, maxImageAndTextsBytes, { lineBreak: " ", maxValues, hold }),
      ["image", "text"],
    ),
    form: reader(async (request, call, { hold }) => {
      const urlencoded = "application/x-www-form-urlencoded";
      const mediaType = requireMediaType(request, [urlencoded, "multipart/form-data"]);
      if (mediaType !== urlencoded) return await multipart(request, call);
      const fields = new URLSearchParams(await readText(request, maxUrlBodyBytes, { hold }));
      // The first of a name counts, as in a multipart form.
      return Object.fromEntries([...fields].reverse());
    }),
    upload: reader(async (request, call) => {
      requireMediaType(request, ["multipart/form-data"]);
      return await multipart(request, call, "file");
    }),
  };
}
