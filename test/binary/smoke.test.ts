/** The compiled file: what is in it, and what it needs and leaves where it runs. */
import { expect, test } from "bun:test";
import { mkdir, readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import packageJson from "../../package.json" with { type: "json" };
import { answerOf, base64Of, postJson, send } from "../support/client.ts";
import { builtExecutable, serveReady } from "../support/executable.ts";
import { scrape } from "../support/metrics.ts";
import { startCollector } from "../support/otlp-collector.ts";
import { makePng } from "../support/pictures.ts";
import { repositoryRoot } from "../support/source-files.ts";
import { temporaryFolder } from "../support/tiny-clip.ts";

test("the executable tells its version", async () => {
  const run = Bun.spawn([await builtExecutable(), "--version"], { env: {}, stdout: "pipe" });
  expect(await run.stdout.text()).toContain(packageJson.version);
  expect(await run.exited).toBe(0);
});

test("the executable names no path of the machine that built it", async () => {
  const bytes = Buffer.from(await Bun.file(await builtExecutable()).arrayBuffer());
  for (const folder of ["src", "workers", "node_modules"]) {
    expect(bytes.indexOf(join(repositoryRoot, folder, "/"))).toBe(-1);
  }
});

test("alone in an empty folder it turns a picture into a vector, and leaves nothing behind", async () => {
  await using place = await temporaryFolder();
  const cwd = join(place.path, "work");
  const HOME = join(place.path, "home");
  const TMPDIR = join(place.path, "tmp");
  for (const folder of [cwd, HOME, TMPDIR]) await mkdir(folder);
  await using service = await serveReady({ cwd, environment: { HOME, TMPDIR } });
  const served = { url: service.at };
  const answer = await answerOf(
    await postJson(served, "/vectorize-image-base64?model=clip-ViT-B-32", {
      image_base64: base64Of(await makePng()),
    }),
  );
  expect(answer).toMatchObject({ model: "clip-ViT-B-32@synthetic", dimensions: 512 });
  expect(answer.vector).toHaveLength(512);
  // So large that a thread of its own parses it.
  const noise = await makePng({ width: 400, height: 400, kind: "noise" });
  const large = await postJson(served, "/vectorize-image-base64?model=clip-ViT-B-32", {
    image_base64: base64Of(noise),
  });
  expect((await answerOf(large)).saved_as).toBe(`${Bun.SHA256.hash(noise, "hex")}.png`);
  for (const path of ["/", "/page/page.js", "/page/page.css", "/docs", "/openapi.json"]) {
    expect((await send(served, path)).status).toBe(200);
  }
  service.signal("SIGTERM");
  expect(await service.exited).toBe(0);
  // No library was unpacked, and onnxruntime left no trace of its telemetry.
  expect(await Promise.all([cwd, HOME, TMPDIR].map((folder) => readdir(folder)))).toEqual([
    [],
    [],
    [],
  ]);
});

test("it counts for Prometheus, and sends its traces packed where the standard variable says so", async () => {
  await using collector = startCollector();
  const OTEL = {
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
    OTEL_EXPORTER_OTLP_COMPRESSION: "gzip",
  };
  await using service = await serveReady({ environment: OTEL });
  const served = { url: service.at };
  const image_base64 = base64Of(await makePng());
  const path = "/vectorize-image-base64?model=clip-ViT-B-32";
  await answerOf(await postJson(served, path, { image_base64 }));
  const { samples, sum } = await scrape(served);
  const route = "/vectorize-image-base64";
  expect(sum("imagesvc_http_requests_total", { route, status: "200" })).toBe(1);
  const build = samples.find(({ name }) => name === "imagesvc_build_info");
  expect(build?.labels).toMatchObject({ version: packageJson.version });
  service.signal("SIGTERM");
  expect(await service.exited).toBe(0);
  expect(collector.exports[0]?.headers.get("content-encoding")).toBe("gzip");
  expect(collector.spans.map(({ name }) => name).sort()).toEqual([
    `POST ${route}`,
    ...["decode", "infer", "queue"],
  ]);
});

test("the libraries that were read from it do not stay in memory twice", async () => {
  await using service = await serveReady();
  const executable = await builtExecutable();
  const { size } = await stat(executable);
  // Of the 180 MB, 65 are libraries: read and kept, more than half of the file would be resident.
  expect(await residentBytes(service.pid, executable)).toBeLessThan(size * 0.4);
});

/** Bytes of a mapped file that a process holds in memory. */
async function residentBytes(pid: number, path: string): Promise<number> {
  const maps = (await readFile(`/proc/${pid}/smaps`, "utf8")).split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m);
  return maps
    .filter((map) => map.split("\n", 1)[0]?.endsWith(path))
    .reduce((sum, map) => sum + 1024 * Number(/^Rss: +(\d+) kB$/m.exec(map)?.[1]), 0);
}
