/** Many callers with many texts each: who is let in gets an answer, and who is not hears so at once. */
import { expect, test } from "bun:test";
import { fileURLToPath } from "node:url";
import { postJson, until } from "../support/client.ts";
import { startService, type TestService, type TestSettings } from "../support/service.ts";

/** 10 ms a text. */
const inference = fileURLToPath(new URL("../support/paced-worker.ts", import.meta.url));

const start = (settings: TestSettings) => startService(settings, { inference });

/** Asks once; tells how it went. */
async function ask(service: TestService, texts: number) {
  const text = Array.from({ length: texts }, (_, index) => `text ${index}`);
  const response = await postJson(service, "/embed-text", { text });
  await response.bytes();
  return { status: response.status, retryAfterS: Number(response.headers.get("retry-after")) };
}

/** Asks, by so many clients at once, each so often. */
async function askAgain(service: TestService, clients: number, texts: number, times: number) {
  const answers = await Promise.all(
    Array.from({ length: clients }, async () => {
      const own = [];
      for (let time = 0; time < times; time += 1) {
        const answer = await ask(service, texts);
        own.push(answer);
        if (answer.status === 503) await Bun.sleep(200);
      }
      return own;
    }),
  );
  return answers.flat();
}

test("of those who ask for more than can be done in time some are refused at once, and nobody waits for nothing", async () => {
  await using service = await start({ REQUEST_TIMEOUT_MS: "5000", FETCH_TIMEOUT_MS: "500" });
  await ask(service, 8);
  // At the same time they ask for 12 s of work; by turns, all of it would end together, and too late.
  const answers = await askAgain(service, 6, 200, 3);
  const count = (sought: number) => answers.filter(({ status }) => status === sought).length;
  expect(count(200) + count(503) + count(504)).toBe(answers.length);
  expect(count(200)).toBeGreaterThan(0);
  expect(count(503)).toBeGreaterThan(0);
  // None, unless the host does something else for seconds: it cannot be foreseen.
  expect(count(504)).toBeLessThan(count(200) / 4);
  for (const { status, retryAfterS } of answers) {
    if (status === 503) expect(retryAfterS).toBeGreaterThanOrEqual(1);
  }
}, 40_000);

test("twenty who ask for what can be done in time are all served, again and again", async () => {
  await using service = await start({ REQUEST_TIMEOUT_MS: "8000", FETCH_TIMEOUT_MS: "500" });
  await ask(service, 8);
  const answers = await askAgain(service, 20, 12, 2);
  expect(answers.map(({ status }) => status)).toEqual(Array.from({ length: 40 }, () => 200));
}, 40_000);

test("in a full house the time to come back is that of the texts that wait", async () => {
  await using service = await start({ QUEUE_LIMIT: "2" });
  await ask(service, 8);
  const asked = [ask(service, 256), ask(service, 256)];
  const waits: number[] = [];
  await until(async () => {
    const { status, retryAfterS } = await ask(service, 1);
    if (status === 503) waits.push(retryAfterS);
    return waits.length > 0;
  });
  // 512 texts, less those that are done by then.
  expect(waits[0]).toBeGreaterThanOrEqual(4);
  expect(waits[0]).toBeLessThan(20);
  expect(await Promise.all(asked)).toMatchObject([{ status: 200 }, { status: 200 }]);
}, 40_000);
