/** Workers that throw or die under a process that serves; those that hang are in `test/process/notify.test.ts`. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { fileURLToPath } from "node:url";
import { expectProblem, postUrlencoded, send } from "../support/client.ts";
import { type Origin, respond, startOrigin } from "../support/origin.ts";
import { startProcess } from "../support/process.ts";

const scripted = fileURLToPath(new URL("../support/hanging-service.ts", import.meta.url));

let origin: Origin;

beforeAll(async () => {
  const scripts = ["throw", "exit", "crash", "picture"].map((script) => {
    return [`/${script}`, respond({ body: new TextEncoder().encode(script) })] as const;
  });
  origin = await startOrigin(Object.fromEntries(scripts));
});

afterAll(() => origin[Symbol.asyncDispose]());

test.each(["throw", "exit", "crash"])(
  "a worker told to %s costs its own request, and no other",
  async (death) => {
    await using service = await startProcess(
      { WORKERS: "2", FETCH_ALLOW: "127.0.0.1" },
      { command: [process.execPath, scripted] },
    );
    await service.logged(/"model ready"/);
    const place = { url: await service.url() };
    const embed = (path: string) =>
      postUrlencoded(place, "/upload", { imageUrl: origin.url(path) });
    for (let round = 0; round < 3; round += 1) {
      await expectProblem(await embed(`/${death}`), "internal-error");
      expect((await embed("/picture")).status).toBe(200);
      expect((await send(place, "/readyz")).status).toBe(200);
    }
    service.signal("SIGTERM");
    expect(await service.exited).toBe(0);
  },
);
