/** A multipart form: a small one is parsed once it is there, of a larger one a large file goes to disk as it arrives. */
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { Busboy, type BusboyInstance } from "@fastify/busboy";
import type { ImageBytes } from "../backends/protocol.ts";
import { Problem } from "../errors.ts";
import { limits } from "../limits.ts";
import type { Spool } from "../store/downloads.ts";

/** One file part, stored. */
export interface StoredPart {
  /** As the client sent it; only ever echoed. */
  readonly originalFilename: string;
  readonly sizeBytes: number;
  readonly image: ImageBytes;
}

export interface FormOptions {
  /** The body as it arrives, already counted against the limit of a whole body; `stop` ends it early. */
  readonly openBody: (stop: AbortSignal) => AsyncIterable<Uint8Array>;
  /** With the boundary. */
  readonly contentType: string;
  /** Bytes of the body, where its head tells: a small one is parsed once all of it is there, which takes a third less. */
  readonly contentLength?: number | undefined;
  /** Name of the one file part that is stored; other files are read and dropped. */
  readonly fileField?: string;
  readonly maxFileBytes: number;
  /** Opens a file for a large part; the caller discards it in the end. */
  readonly openSpool: () => Promise<Spool>;
  /** Aborts when the caller has left. */
  readonly signal: AbortSignal;
}

/**
 * Reads a `multipart/form-data` body to its end.
 *
 * @returns text fields and the stored part under their names; the first of a name counts.
 * @throws Problem `malformed-body`, `body-too-large` (as soon as it is known) or `storage-full`, and
 *   whatever the body throws.
 */
export async function receiveForm(
  options: FormOptions,
): Promise<Readonly<Record<string, string | StoredPart>>> {
  const form = new Map<string, string | StoredPart>();
  const names = new Set<string>();
  const files: Promise<void>[] = [];
  const streams: Readable[] = [];
  const failure = new AbortController();
  const fail = (error: unknown) => failure.abort(error);
  const { contentLength = Number.POSITIVE_INFINITY } = options;
  const isSmall = contentLength <= limits.maxUploadInMemoryBytes;
  const parser = openParser(options);
  parser.on("field", (name, value, _nameTruncated, valueTruncated) => {
    if (valueTruncated) fail(tooLong("form field", limits.maxFormFieldBytes));
    else if (!names.has(name)) form.set(name, value);
    names.add(name);
  });
  parser.on("file", (name, stream, filename) => {
    if (name !== options.fileField || names.has(name)) {
      stream.on("error", () => {}).resume();
      return;
    }
    names.add(name);
    const store = isSmall ? collectPart : storePart;
    const storing = store(stream, options).then(({ image, sizeBytes }) => {
      form.set(name, { originalFilename: filename ?? "", sizeBytes, image });
    });
    storing.catch(fail);
    files.push(storing);
    streams.push(stream);
  });
  parser.on("partsLimit", () => fail(malformed("The form has too many parts.")));
  try {
    if (isSmall) await parseAtOnce(options.openBody(options.signal), parser, failure.signal);
    else {
      const stop = AbortSignal.any([failure.signal, options.signal]);
      await pipeline(options.openBody(stop), parser, { signal: stop });
    }
    await Promise.all(files);
  } catch (error) {
    for (const stream of streams) stream.destroy();
    await Promise.allSettled(files);
    throw reasonFor(error, failure.signal, options.signal);
  }
  return Object.fromEntries(form);
}

/** What really ended the reading: the caller's leaving, a refusal (whatever broke in its wake), or a broken form. */
function reasonFor(error: unknown, failed: AbortSignal, left: AbortSignal): unknown {
  if (left.aborted) return left.reason;
  const reasons: readonly unknown[] = failed.aborted ? [failed.reason, error] : [error];
  const detail = "The form is cut short or broken: send it whole, with its boundary.";
  return reasons.find((reason) => reason instanceof Problem) ?? malformed(detail, reasons[0]);
}

function openParser({ contentType, maxFileBytes }: FormOptions): BusboyInstance {
  try {
    return new Busboy({
      headers: { "content-type": contentType },
      preservePath: true,
      limits: {
        fileSize: maxFileBytes + 1,
        fieldSize: limits.maxFormFieldBytes,
        fieldNameSize: 256,
        parts: limits.maxFormParts,
        headerPairs: 32,
        headerSize: 16 * 1024,
      },
    });
  } catch (error) {
    throw malformed("The Content-Type names no boundary: let the client library set it.", error);
  }
}

/** Reads a body to its end, and parses it then: without the streams that keep a large one from piling up. */
async function parseAtOnce(
  body: AsyncIterable<Uint8Array>,
  parser: BusboyInstance,
  failed: AbortSignal,
): Promise<void> {
  const pieces: Uint8Array[] = [];
  let bytes = 0;
  for await (const piece of body) {
    bytes += piece.length;
    if (bytes > limits.maxUploadInMemoryBytes) throw malformed("The body is longer than it told.");
    pieces.push(piece);
  }
  const [first = new Uint8Array()] = pieces;
  const whole = pieces.length === 1 ? first : join(pieces);
  await new Promise<void>((resolve, reject) => {
    failed.addEventListener("abort", () => reject(failed.reason), { once: true });
    parser.on("finish", () => resolve()).on("error", reject);
    parser.end(Buffer.from(whole.buffer, whole.byteOffset, whole.length));
  });
  failed.throwIfAborted();
}

interface StoredBytes {
  readonly image: ImageBytes;
  readonly sizeBytes: number;
}

/** Takes a part out of a small body, of which nothing else is needed any more. */
async function collectPart(
  stream: Readable,
  { maxFileBytes }: Pick<FormOptions, "maxFileBytes">,
): Promise<StoredBytes> {
  const chunks: Uint8Array[] = [];
  await new Promise<void>((resolve, reject) => {
    stream.on("data", (chunk: Uint8Array) => void chunks.push(chunk));
    stream.once("end", resolve).on("error", reject).once("close", resolve);
  });
  const [first, ...more] = chunks;
  // Of what was parsed at once, a part is one view.
  const isOne = first?.buffer instanceof ArrayBuffer && more.length === 0;
  const bytes = isOne ? new Uint8Array(first.buffer, first.byteOffset, first.length) : join(chunks);
  if (bytes.length > maxFileBytes) throw tooLong("image", maxFileBytes);
  return { image: { kind: "memory", bytes }, sizeBytes: bytes.length };
}

/** Writes a part to memory, and on to disk once it has outgrown that. */
async function storePart(
  stream: Readable,
  { maxFileBytes, openSpool }: FormOptions,
): Promise<StoredBytes> {
  const chunks: Uint8Array[] = [];
  let sizeBytes = 0;
  let spool: Spool | undefined;
  for await (const chunk of stream as AsyncIterable<Uint8Array>) {
    sizeBytes += chunk.length;
    if (sizeBytes > maxFileBytes) throw tooLong("image", maxFileBytes);
    if (spool !== undefined) await spool.write(chunk);
    else chunks.push(chunk);
    if (spool === undefined && sizeBytes > limits.maxUploadInMemoryBytes) {
      spool = await openSpool();
      for (const early of chunks.splice(0)) await spool.write(early);
    }
  }
  if (spool === undefined) return { image: { kind: "memory", bytes: join(chunks) }, sizeBytes };
  return { image: { kind: "file", path: spool.path }, sizeBytes };
}

/** One array with a buffer of its own, so that it can be transferred. */
function join(chunks: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(chunks.reduce((sum, chunk) => sum + chunk.length, 0));
  let offset = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, offset);
    offset += chunk.length;
  }
  return bytes;
}

function tooLong(what: string, maxBytes: number): Problem {
  return new Problem("body-too-large", `The ${what} is larger than ${maxBytes} bytes.`);
}

function malformed(detail: string, cause?: unknown): Problem {
  return new Problem("malformed-body", detail, { cause });
}
