/** Request bodies, read by ourselves: so that wrong types, sizes and broken bodies get their own Problem. */
import { messageOf, Problem } from "../errors.ts";
import { limits } from "../limits.ts";

/** The media type of a request, without parameters; empty where none is given. */
function mediaTypeOf(request: Request): string {
  return (request.headers.get("content-type") ?? "").split(";", 1)[0]?.trim().toLowerCase() ?? "";
}

/** @throws Problem `unsupported-media-type` unless the body is plain and has one of the media types. */
export function requireMediaType(request: Request, allowed: readonly string[]): string {
  const encoding = request.headers.get("content-encoding");
  if (encoding !== null && encoding.toLowerCase() !== "identity") {
    const detail = "The body has a Content-Encoding: send it as it is, uncompressed.";
    throw new Problem("unsupported-media-type", detail);
  }
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
 * @param silenceMs longest pause between two pieces.
 * @throws Problem `body-too-large`, by Content-Length before the first byte, else as the bytes are counted;
 *   `malformed-body` when it pauses or takes too long.
 */
export async function* countedBody(
  request: Request,
  maxBytes: number,
  stop?: AbortSignal,
  silenceMs: number = limits.bodySilenceMs,
): AsyncGenerator<Uint8Array, void, undefined> {
  if (Number(request.headers.get("content-length") ?? 0) > maxBytes) throw tooLarge(maxBytes);
  if (request.body === null) return;
  const deadline = performance.now() + limits.bodyTimeoutMs;
  const reader = request.body.getReader();
  const release = () => reader.releaseLock();
  let isSilent = false;
  const silence = setTimeout(() => {
    isSilent = true;
    release();
  }, silenceMs);
  stop?.addEventListener("abort", release, { once: true });
  try {
    let seen = 0;
    for (let read = await reader.read(); !read.done; read = await reader.read()) {
      silence.refresh();
      seen += read.value.length;
      if (seen > maxBytes) throw tooLarge(maxBytes);
      if (performance.now() > deadline) throw tooSlow("in all", limits.bodyTimeoutMs);
      yield read.value;
    }
  } catch (error) {
    throw isSilent ? tooSlow("without a byte", silenceMs) : error;
  } finally {
    clearTimeout(silence);
    stop?.removeEventListener("abort", release);
    release();
  }
}

/** How a body is read as text. */
interface TextOptions {
  /** What to read for each raw CR and LF, such as nothing; themselves unless told. */
  readonly lineBreak?: string;
  /** Told of every piece before it is held in memory; may throw to refuse it. */
  readonly hold?: (bytes: number) => void;
}

/**
 * The whole body as text.
 *
 * @throws Problem `body-too-large`, or `malformed-body` when it is cut short or not UTF-8.
 */
export async function readText(
  request: Request,
  maxBytes: number,
  { lineBreak, hold }: TextOptions = {},
): Promise<string> {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  let text = "";
  try {
    for await (const chunk of countedBody(request, maxBytes)) {
      hold?.(chunk.length);
      const piece = decoder.decode(chunk, { stream: true });
      text += lineBreak === undefined ? piece : withLineBreaks(piece, lineBreak);
    }
    return text + decoder.decode();
  } catch (error) {
    if (error instanceof Problem) throw error;
    throw new Problem("malformed-body", "The body is cut short or not UTF-8: send it whole.", {
      cause: error,
    });
  }
}

function withLineBreaks(piece: string, lineBreak: string): string {
  return piece.replaceAll("\n", lineBreak).replaceAll("\r", lineBreak);
}

/** How a body is read as JSON. */
interface JsonOptions extends TextOptions {
  /** Most brackets and commas. */
  readonly maxValues?: number;
}

/**
 * A JSON body, before validation.
 *
 * @param options.lineBreak for clients whose base64 is wrapped inside the JSON string: between tokens line
 *   breaks mean nothing, and inside a string JSON forbids them, so nothing is lost.
 * @throws Problem `unsupported-media-type`, `body-too-large` or `malformed-body`.
 */
export async function readJson(
  request: Request,
  maxBytes: number,
  { maxValues = limits.maxJsonValues, ...options }: JsonOptions = {},
): Promise<unknown> {
  requireMediaType(request, ["application/json"]);
  const text = await readText(request, maxBytes, options);
  if (text.trim() === "") throw new Problem("malformed-body", "The body is empty: send JSON.");
  refuseManyValues(text, maxValues);
  try {
    return JSON.parse(text);
  } catch (error) {
    // Without the error as its cause: the parser quotes the body, which no log may hold.
    throw new Problem("malformed-body", `The body is not JSON: ${syntaxOf(error, text)}.`);
  }
}

/**
 * Millions of brackets or commas would keep the parser, and with it everybody else, busy for seconds:
 * they are counted first, which takes a few ms even for the largest body. Those inside strings count too.
 */
function refuseManyValues(text: string, maxValues: number): void {
  let left = maxValues;
  for (const mark of ["[", "{", ","]) {
    for (let at = text.indexOf(mark); at >= 0; at = text.indexOf(mark, at + 1)) {
      left -= 1;
      if (left < 0) {
        const detail = `The body holds more than ${maxValues} values: send only the documented fields.`;
        throw new Problem("malformed-body", detail);
      }
    }
  }
}

/** What the parser complains of, without the caller's own text. */
function syntaxOf(error: unknown, text: string): string {
  // It calls a string unterminated also where a raw line break is in it.
  const isCut = /end of|EOF|terminated/i.test(messageOf(error)) && !text.trimEnd().endsWith("}");
  return isCut ? "it ends too early" : "check quotes, commas and braces";
}

function tooSlow(how: string, ms: number): Problem {
  const detail = `The body did not arrive: ${ms / 1000} s ${how} are too long. Send it again.`;
  return new Problem("malformed-body", detail);
}

function tooLarge(maxBytes: number): Problem {
  return new Problem("body-too-large", `The request body is larger than ${maxBytes} bytes.`);
}
