/** What overload does not touch. */
import { expect, test } from "bun:test";
import { postFile, send } from "../support/client.ts";
import { makePng } from "../support/pictures.ts";
import { startService } from "../support/service.ts";

test("health and docs are answered while images wait for the only worker", async () => {
  const slow = await makePng({ width: 3000, height: 3000 });
  await using service = await startService();
  let answered = 0;
  const images = Array.from({ length: 12 }, async () => {
    const { status } = await postFile(service, slow, { query: "?model=clip-ViT-B-32" });
    answered += 1;
    return status;
  });
  // By then images wait: each takes the worker longer than that.
  await Bun.sleep(100);
  for (const path of ["/livez", "/readyz", "/docs", "/openapi.json", "/problems/overloaded"]) {
    expect((await send(service, path)).status).toBe(200);
  }
  expect(answered).toBeLessThan(images.length);
  expect(await Promise.all(images)).toEqual(images.map(() => 200));
});
