/** A log that nobody reads: a pipe whose reader has stopped, and reads again. */
import { expect, test } from "bun:test";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { limits } from "../../src/limits.ts";
import { send, until } from "../support/client.ts";
import { startProcess } from "../support/process.ts";
import { repositoryRoot } from "../support/source-files.ts";
import { temporaryFolder } from "../support/tiny-clip.ts";

/** Two times as many as the service has room for. */
const requests = 8_000;
const mib = 1024 ** 2;

test("a log pipe that nobody reads costs lines, not answers, and no more memory than its bound; then it says how many", async () => {
  await using folder = await temporaryFolder();
  const pipe = join(folder.path, "log");
  const read = join(folder.path, "read");
  expect(Bun.spawnSync(["mkfifo", pipe]).success).toBe(true);
  await using reader = Bun.spawn(["cat", pipe], { stdout: Bun.file(read) });
  const main = join(repositoryRoot, "src/main.ts");
  const script = 'exec "$@" 2>"$LOG_PIPE"';
  await using service = await startProcess(
    { LOG_PIPE: pipe },
    { command: ["sh", "-c", script, "sh", process.execPath, main, "serve"] },
  );
  const log = () => readFile(read, "utf8").catch(() => "");
  await until(async () => (await log()).includes('"model ready"'));
  const url = new URL(/"listening","url":"([^"]+)"/.exec(await log())?.[1] ?? "");
  reader.kill("SIGSTOP");
  for (let asked = 0; asked < requests; asked += 1) {
    // The longest that a line can be made.
    const headers = { "X-Request-Id": `${asked}`.padStart(128, "0") };
    expect((await send({ url }, `/${"nowhere".repeat(100)}`, { headers })).status).toBe(404);
  }
  reader.kill("SIGCONT");
  await until(async () => (await log()).includes("log lines were dropped"));
  const [told = "", dropped] =
    /\n.*"log lines were dropped: nobody read them","dropped":(\d+)}\n/.exec(await log()) ?? [];
  expect(told).toContain('"level":"error"');
  const written = (await log()).match(/.*"status":404.*/g) ?? [];
  expect(written.length + Number(dropped)).toBe(requests);
  // What the service held, and what the pipe and its reader did.
  expect(written.join("\n").length).toBeGreaterThan(limits.maxHeldLogBytes);
  expect(written.join("\n").length).toBeLessThan(limits.maxHeldLogBytes + mib);
  const answer = await send({ url }, "/problems");
  expect(answer.status).toBe(200);
  await until(async () => (await log()).includes('"path":"/problems"'));
  service.signal("SIGTERM");
  expect(await service.exited).toBe(0);
});
