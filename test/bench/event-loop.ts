import { settings } from "../../src/config.ts";
import { makeJpeg } from "../support/pictures.ts";
import type { EventLoopDelay } from "./event-loop-probe.ts";
import { startLoad } from "./load.ts";
import { createPhotos } from "./photo.ts";
import { findingRow, findingsHead } from "./report.ts";
import { type Server, startBystander, startService } from "./server.ts";
import { mustSucceed } from "./upload.ts";

const loadMs = 8000;
/** Clients that send the largest JSON, one body after the other. */
const jsonClients = 2;

/** How late the event loop of the service's main thread runs while every core is busy. */
export async function* eventLoop(): AsyncGenerator<string> {
  await using bystander = await startBystander();
  await using service = await startService("synthetic");
  await using load = await startLoad(service, await createPhotos());
  const servers = [service, bystander];
  await Promise.all(servers.map((server) => server.ask("reset")));
  await load.observe(loadMs);
  const [served, beside] = await Promise.all(servers.map((server) => server.ask("report")));
  yield `under the load of the throughput figure for ${loadMs / 1000} s, ms later than due`;
  yield* findingsHead;
  yield findingRow({
    what: "main thread late under the load of 24 clients, ms",
    measured: show(served),
    reference: `an idle process beside it: ${show(beside)}`,
    wanted: "p99 under 20",
    isMet: (served?.p99 ?? Number.POSITIVE_INFINITY) < 20,
  });
  await load[Symbol.asyncDispose]();
  yield* underLargestJson(service, bystander);
}

/** The same while images of MAX_IMAGE_BYTES come as base64. */
async function* underLargestJson(service: Server, bystander: Server): AsyncGenerator<string> {
  const body = await largestJson();
  const servers = [service, bystander];
  const until = performance.now() + loadMs;
  await Promise.all(servers.map((server) => server.ask("reset")));
  const counts = await Promise.all(
    Array.from({ length: jsonClients }, () => sendUntil(service, body, until)),
  );
  const [served, beside] = await Promise.all(servers.map((server) => server.ask("report")));
  const sent = counts.reduce((sum, count) => sum + count);
  yield `while ${jsonClients} clients send ${sent} JSON bodies of ${(body.length / 1e6).toFixed(0)} MB, ms later than due`;
  yield* findingsHead;
  yield findingRow({
    what: `main thread late while ${jsonClients} clients send the largest JSON, ms`,
    measured: show(served),
    reference: `an idle process beside it: ${show(beside)}`,
    wanted: "longest under 15",
    isMet: (served?.longest ?? Number.POSITIVE_INFINITY) < 15,
  });
}

/** A photo of as many bytes as an image may have: what follows its end is ignored by every decoder. */
async function largestJson(): Promise<string> {
  const padded = new Uint8Array(settings.MAX_IMAGE_BYTES.fallback);
  padded.set(await makeJpeg({ width: 640, height: 480 }));
  return JSON.stringify({ image_base64: padded.toBase64() });
}

/** Sends one body after the other. @returns how many. */
async function sendUntil(service: Server, body: string, until: number): Promise<number> {
  const url = new URL("/vectorize-image-base64?model=clip-ViT-B-32", service.url);
  const headers = { "content-type": "application/json" };
  let sent = 0;
  for (; performance.now() < until; sent += 1) {
    await mustSucceed(fetch(url, { method: "POST", headers, body }));
  }
  return sent;
}

function show(delay: EventLoopDelay | undefined): string {
  if (delay === undefined) throw new Error("a server did not report");
  return `p50 ${delay.p50.toFixed(1)}, p99 ${delay.p99.toFixed(1)}, longest ${delay.longest.toFixed(1)}`;
}
