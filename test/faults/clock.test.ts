/** The host's clock is set, far and back, while the service runs. */
import { expect, test } from "bun:test";
import { readdir, readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { answerOf, postFile, postUrlencoded, send, until } from "../support/client.ts";
import { fakeTime } from "../support/faked-time.ts";
import { putImage } from "../support/kept-images.ts";
import { listenForNotices } from "../support/notify-socket.ts";
import { respond, startOrigin, staySilent } from "../support/origin.ts";
import { makeJpeg } from "../support/pictures.ts";
import { startProcess } from "../support/process.ts";

const hourMs = 3_600_000;
const impatient = fileURLToPath(new URL("../support/hanging-service.ts", import.meta.url));

test("a clock that jumps a day ahead and back fails no request, and deadlines stay as long", async () => {
  await using time = await fakeTime();
  if (time === undefined) return;
  const jpeg = await makeJpeg();
  await using origin = await startOrigin({
    "/picture": respond({ body: jpeg }),
    "/silent": staySilent,
  });
  await using service = await startProcess({
    ...time.environment,
    FETCH_ALLOW: "127.0.0.1",
    FETCH_TIMEOUT_MS: "700",
  });
  await service.logged(/"model ready"/);
  const place = { url: await service.url() };
  const fetchPath = (path: string) =>
    postUrlencoded(place, "/upload?model=clip-ViT-B-32", { imageUrl: origin.url(path) });
  for (const days of [1, 0, -1, 0]) {
    const waiting = fetchPath("/silent");
    await until(() => origin.requests.at(-1)?.path === "/silent");
    await time.set(days);
    const upload = await postFile(place, jpeg, { query: "?model=clip-ViT-B-32" });
    await answerOf(upload);
    // Not by the header Date, which Bun renews once a second.
    const requestId = upload.headers.get("x-request-id");
    const told = await service.logged(new RegExp(`"time":"([^"]+)".*"${requestId}"`));
    const aheadMs = Date.parse(told) - Date.now();
    expect(Math.abs(aheadMs - days * 24 * hourMs)).toBeLessThan(hourMs);
    await answerOf(await fetchPath("/picture"));
    const { status, headers } = await waiting;
    expect(status).toBe(504);
    const total = Number(/total;dur=([\d.]+)/.exec(headers.get("server-timing") ?? "")?.[1]);
    expect(total).toBeGreaterThan(600);
    expect(total).toBeLessThan(10_000);
  }
  expect((await send(place, "/readyz")).status).toBe(200);
  service.signal("SIGTERM");
  expect(await service.exited).toBe(0);
  expect(service.log()).not.toContain('"level":"error"');
});

test("a clock that jumps a year ahead deletes no image for its age, and the watchdog hears on", async () => {
  await using time = await fakeTime();
  if (time === undefined) return;
  using systemd = listenForNotices();
  await using service = await startProcess(
    {
      ...time.environment,
      NOTIFY_SOCKET: systemd.address,
      WATCHDOG_USEC: "100000",
      DOWNLOADS_MAX_AGE: "30d",
    },
    { command: [process.execPath, impatient] },
  );
  await service.url();
  const fresh = await putImage(service.downloadsDir, "fresh", { ageMs: hourMs });
  await time.set(365);
  await service.logged(/"level":"warn","message":"the clock was set ahead: for a day no image/);
  const heard = countBeats(systemd.messages());
  await until(() => countBeats(systemd.messages()) > heard + 3);
  expect(await readdir(service.downloadsDir)).toEqual([fresh]);
  // Set right again, it counts again: what is too old goes, and only that.
  await time.set(0);
  await putImage(service.downloadsDir, "old", { ageMs: 31 * 24 * hourMs });
  await service.logged(/"kept images were deleted","deleted":1/);
  expect(await readdir(service.downloadsDir)).toEqual([fresh]);
  expect(await readFile(`/proc/${service.pid}/maps`, "utf8")).toContain("libfaketime");
});

function countBeats(messages: readonly string[]): number {
  return messages.filter((message) => message === "WATCHDOG=1").length;
}
