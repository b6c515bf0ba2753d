/** How slowly a body may come. */
import { expect, test } from "bun:test";
import { countedBody } from "../../src/http/body.ts";

/** A POST whose body comes in pieces of so many bytes, one every 20 ms. */
function slowRequest(bytesAPiece: number, pieces: number): Request {
  let sent = 0;
  const body = new ReadableStream<Uint8Array>({
    pull: async (controller) => {
      await Bun.sleep(20);
      if (sent < pieces) controller.enqueue(new Uint8Array(bytesAPiece));
      else controller.close();
      sent += 1;
    },
  });
  return new Request("http://imagesvc/", { method: "POST", body });
}

/** Reads it as if the first 100 ms were the ten seconds in which a body may be as slow as it likes. */
async function read(request: Request): Promise<number> {
  const pieces = await Array.fromAsync(countedBody(request, 100_000, undefined, 60_000, 100));
  return pieces.reduce((sum, piece) => sum + piece.length, 0);
}

test("a body that drips is cut once its grace is over, although it is never silent", async () => {
  const reading = read(slowRequest(1, 1000));
  await expect(reading).rejects.toMatchObject({
    code: "malformed-body",
    message: expect.stringContaining("less than 1000 bytes a second"),
  });
});

test("a body that came fast and then falls silent is cut when its mean is too low", async () => {
  const fast = new Uint8Array(200);
  const body = new ReadableStream<Uint8Array>({ start: (controller) => controller.enqueue(fast) });
  const reading = read(new Request("http://imagesvc/", { method: "POST", body }));
  await expect(reading).rejects.toMatchObject({ code: "malformed-body" });
});

test("a body of several kB a second comes in, however long it takes", async () => {
  expect(await read(slowRequest(400, 15))).toBe(6000);
});
