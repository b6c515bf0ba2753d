/** What happens to a client that is refused while it is still sending. */
import { limits } from "../limits.ts";

/** ms in which a body that is already on its way is all there: then the connection can be kept. */
const graceMs = 20;

/**
 * Gives a refused client its answer at once, hears it out for a moment, so that no reset overtakes the
 * answer, and then closes the connection.
 *
 * @returns the answer itself where nothing more comes.
 */
export async function hearOut(request: Request, response: Response): Promise<Response> {
  if (response.status < 400 || request.body === null) return response;
  const drained = drain(request.body, limits.hearOutTimeoutMs);
  const isWhole = await Promise.race([
    drained.then(() => true),
    Bun.sleep(graceMs).then(() => false),
  ]);
  if (isWhole) return response;
  const answer = await response.bytes();
  const body = new ReadableStream<Uint8Array>({
    async start(controller) {
      controller.enqueue(answer);
      await drained;
      controller.close();
    },
  });
  const { status, headers } = response;
  headers.set("connection", "close");
  return new Response(body, { status, headers });
}

/** Reads a body to its end, but not longer than `timeoutMs`. */
async function drain(body: ReadableStream<Uint8Array>, timeoutMs: number): Promise<void> {
  const reader = body.getReader();
  const timer = setTimeout(() => void reader.cancel().catch(() => {}), timeoutMs);
  try {
    while (!(await reader.read()).done);
  } catch {
    // the client has gone: nothing is left to drain
  } finally {
    clearTimeout(timer);
  }
}
