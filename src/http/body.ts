/** Request bodies, read by ourselves: so that wrong types, sizes and broken bodies get their own Problem. */
import { Problem } from "../errors.ts";
import { limits } from "../limits.ts";
import { cutShort } from "../text/json-body.ts";

/** The media type of a request, without parameters; empty where none is given. */
export function mediaTypeOf(request: Request): string {
  return (request.headers.get("content-type") ?? "").split(";", 1)[0]?.trim().toLowerCase() ?? "";
}

/** @throws Problem `unsupported-media-type` unless the body is plain and has one of the media types. */
export function requireMediaType(request: Request, allowed: readonly string[]): void {
  const encoding = request.headers.get("content-encoding");
  if (encoding !== null && encoding.toLowerCase() !== "identity") {
    const detail = "The body has a Content-Encoding: send it as it is, uncompressed.";
    throw new Problem("unsupported-media-type", detail);
  }
  const mediaType = mediaTypeOf(request);
  if (allowed.includes(mediaType)) return;
  const given =
    mediaType === "" ? "no Content-Type" : `the Content-Type ${mediaType.slice(0, 100)}`;
  throw new Problem(
    "unsupported-media-type",
    `The request has ${given}: send ${allowed.join(" or ")}.`,
  );
}

/** Bytes of a request's body, where its head tells. */
export function contentLengthOf({ headers }: Request): number | undefined {
  const length = headers.get("content-length");
  return length === null ? undefined : Number(length);
}

/** @throws Problem `body-too-large` for a body that is announced as larger. */
export function refuseLongContent(request: Request, maxBytes: number): void {
  if ((contentLengthOf(request) ?? 0) > maxBytes) throw tooLarge(maxBytes);
}

/**
 * The body as it arrives. However the reading ends, the rest can still be read by others.
 *
 * @param stop ends a read that waits for a client which has nothing more to say.
 * @param silenceMs longest pause between two pieces.
 * @param graceMs after it the body must have come with `minBodyBytesPerS` on average.
 * @throws Problem `body-too-large`, by Content-Length before the first byte, else as the bytes are counted;
 *   `malformed-body` when it pauses, is too slow, or takes too long.
 */
export async function* countedBody(
  request: Request,
  maxBytes: number,
  stop?: AbortSignal,
  silenceMs: number = limits.bodySilenceMs,
  graceMs: number = limits.bodyGraceMs,
): AsyncGenerator<Uint8Array<ArrayBuffer>, void, undefined> {
  refuseLongContent(request, maxBytes);
  if (request.body === null) return;
  const startedAt = performance.now();
  const reader = request.body.getReader();
  const release = () => reader.releaseLock();
  let seen = 0;
  let cut: Problem | undefined;
  const cutWith = (problem: Problem) => {
    cut = problem;
    release();
  };
  const silence = setTimeout(() => cutWith(tooLate("without a byte", silenceMs)), silenceMs);
  /** Due when a body of which no more has come is too slow. */
  const checkPace = () => {
    const allowedMs = Math.max(graceMs, (seen / limits.minBodyBytesPerS) * 1000);
    const leftMs = startedAt + allowedMs - performance.now();
    if (leftMs <= 0) cutWith(tooSlow());
    else pace = setTimeout(checkPace, leftMs);
  };
  let pace = setTimeout(checkPace, graceMs);
  stop?.addEventListener("abort", release, { once: true });
  try {
    for (let read = await reader.read(); !read.done; read = await reader.read()) {
      silence.refresh();
      seen += read.value.length;
      if (seen > maxBytes) throw tooLarge(maxBytes);
      if (performance.now() - startedAt > limits.bodyTimeoutMs) {
        throw tooLate("in all", limits.bodyTimeoutMs);
      }
      yield read.value;
    }
  } catch (error) {
    throw cut ?? error;
  } finally {
    clearTimeout(silence);
    clearTimeout(pace);
    stop?.removeEventListener("abort", release);
    release();
  }
}

/**
 * The whole body, in the pieces in which it came.
 *
 * @param hold told of every piece before it is held in memory; may throw to refuse it.
 * @throws Problem `body-too-large`, or `malformed-body` when it is cut short.
 */
export async function readPieces(
  request: Request,
  maxBytes: number,
  hold: (bytes: number) => void,
): Promise<Uint8Array<ArrayBuffer>[]> {
  const pieces: Uint8Array<ArrayBuffer>[] = [];
  try {
    for await (const piece of countedBody(request, maxBytes)) {
      hold(piece.length);
      pieces.push(piece);
    }
  } catch (error) {
    throw error instanceof Problem ? error : cutShort(error);
  }
  return pieces;
}

function tooSlow(): Problem {
  const detail = `The body came with less than ${limits.minBodyBytesPerS} bytes a second: send it again, faster.`;
  return new Problem("malformed-body", detail);
}

function tooLate(how: string, ms: number): Problem {
  const detail = `The body did not arrive: ${ms / 1000} s ${how} are too long. Send it again.`;
  return new Problem("malformed-body", detail);
}

function tooLarge(maxBytes: number): Problem {
  return new Problem("body-too-large", `The request body is larger than ${maxBytes} bytes.`);
}
