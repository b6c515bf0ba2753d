/** Request bodies, read by ourselves: so that wrong types, sizes and broken bodies get their own Problem. */
import { Problem } from "../errors.ts";
import { limits } from "../limits.ts";

/** The media type of a request, without parameters; empty where none is given. */
function mediaTypeOf(request: Request): string {
  return (request.headers.get("content-type") ?? "").split(";", 1)[0]?.trim().toLowerCase() ?? "";
}

/** @throws Problem `unsupported-media-type` unless the request has one of the media types. */
export function requireMediaType(request: Request, allowed: readonly string[]): string {
  const mediaType = mediaTypeOf(request);
  if (allowed.includes(mediaType)) return mediaType;
  const given =
    mediaType === "" ? "no Content-Type" : `the Content-Type ${mediaType.slice(0, 100)}`;
  throw new Problem(
    "unsupported-media-type",
    `The request has ${given}: send ${allowed.join(" or ")}.`,
  );
}

/**
 * The body as it arrives. However the reading ends, the rest can still be read by others.
 *
 * @param stop ends a read that waits for a client which has nothing more to say.
 * @throws Problem `body-too-large`, by Content-Length before the first byte, else as the bytes are counted.
 */
export async function* countedBody(
  request: Request,
  maxBytes: number,
  stop?: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  if (Number(request.headers.get("content-length") ?? 0) > maxBytes) throw tooLarge(maxBytes);
  if (request.body === null) return;
  const deadline = performance.now() + limits.bodyTimeoutMs;
  const reader = request.body.getReader();
  const release = () => reader.releaseLock();
  stop?.addEventListener("abort", release, { once: true });
  try {
    let seen = 0;
    for (let read = await reader.read(); !read.done; read = await reader.read()) {
      seen += read.value.length;
      if (seen > maxBytes) throw tooLarge(maxBytes);
      // A client that is silent is cut by the server; this is for one that drips.
      if (performance.now() > deadline) throw tooSlow();
      yield read.value;
    }
  } finally {
    stop?.removeEventListener("abort", release);
    release();
  }
}

/**
 * The whole body as text.
 *
 * @throws Problem `body-too-large`, or `malformed-body` when it is cut short or not UTF-8.
 */
export async function readText(request: Request, maxBytes: number): Promise<string> {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  let text = "";
  try {
    for await (const chunk of countedBody(request, maxBytes)) {
      text += decoder.decode(chunk, { stream: true });
    }
    return text + decoder.decode();
  } catch (error) {
    if (error instanceof Problem) throw error;
    throw new Problem("malformed-body", "The body is cut short or not UTF-8: send it whole.", {
      cause: error,
    });
  }
}

/**
 * A JSON body, before validation.
 *
 * @param dropLineBreaks for clients whose base64 is wrapped inside the JSON string: between tokens line
 *   breaks mean nothing, and inside a string JSON forbids them, so nothing is lost.
 * @throws Problem `unsupported-media-type`, `body-too-large` or `malformed-body`.
 */
export async function readJson(
  request: Request,
  maxBytes: number,
  { dropLineBreaks = false } = {},
): Promise<unknown> {
  requireMediaType(request, ["application/json"]);
  const text = await readText(request, maxBytes);
  if (text.trim() === "") throw new Problem("malformed-body", "The body is empty: send JSON.");
  try {
    return JSON.parse(dropLineBreaks ? text.replace(/[\r\n]+/g, "") : text);
  } catch (error) {
    throw new Problem("malformed-body", `The body is not JSON: ${syntaxOf(error)}.`, {
      cause: error,
    });
  }
}

/** What the parser complains of, without the caller's own text. */
function syntaxOf(error: unknown): string {
  return error instanceof Error && /end of|EOF|terminated/i.test(error.message)
    ? "it ends too early"
    : "check quotes, commas and braces";
}

function tooSlow(): Problem {
  const seconds = limits.bodyTimeoutMs / 1000;
  return new Problem("malformed-body", `The body took longer than ${seconds} s to arrive.`);
}

function tooLarge(maxBytes: number): Problem {
  return new Problem("body-too-large", `The request body is larger than ${maxBytes} bytes.`);
}
