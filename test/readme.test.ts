import { expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { leftOut } from "./support/left-out.ts";
import { startNvidiaFake } from "./support/nvidia-fake.ts";
import { makePng } from "./support/pictures.ts";
import { startService } from "./support/service.ts";
import { repositoryRoot } from "./support/source-files.ts";

/** A picture of 300 kB: as base64 it is too long for one argument of a command on Linux. */
const noise = { width: 320, height: 320, kind: "noise" } as const;

const four = ["/upload", "/vectorize-image", "/vectorize-image-base64", "/vectorize-image-upload"];

/** The documents with requests, and which they show. */
const shown = {
  "README.md": four,
  "docs/api.md": [
    ...four.toSpliced(3, 0, "/vectorize-image-base64"),
    ...["/embed-text", "/similarity", "/embeddings", "/v1/embeddings"],
  ],
};

/** A document's shell lines that call the service, in their order. */
async function examplesOf(path: string): Promise<readonly string[]> {
  const text = await Bun.file(join(repositoryRoot, path)).text();
  return [...text.matchAll(/^```sh\n([\s\S]*?)^```$/gm)]
    .map(([, lines = ""]) => lines)
    .filter((lines) => lines.includes("curl -X POST http://localhost:8000/"));
}

test.each(Object.entries(shown))("%s shows each of its requests", async (path, paths) => {
  const examples = await examplesOf(path);
  expect(examples.map((lines) => /localhost:8000(\/[\w/-]+)/.exec(lines)?.[1])).toEqual(paths);
});

test.each(Object.keys(shown))("the requests of %s work as they stand", async (path) => {
  if (Bun.which("curl") === null) {
    leftOut("the documents' curl lines: curl is not installed");
    return;
  }
  await using host = await startHost();
  for (const lines of await examplesOf(path)) {
    const answer = await host.run(lines);
    // The request for several models has one in each of its results.
    for (const one of answer.sha256 === undefined ? [answer] : answer.results) {
      expect(one).toMatchObject({
        model: expect.stringMatching(/^(clip-ViT-B-32@synthetic|nv-dinov2@fake)$/),
      });
    }
    if (answer.data !== undefined) expect(answer.data).toHaveLength(2);
    else if (answer.results !== undefined) expect(answer.results).toHaveLength(2);
    else expect(answer.vector ?? answer.embedding).toHaveLength(answer.dimensions);
  }
});

test("the second base64 form of docs/api.md takes a picture that the first cannot", async () => {
  if (Bun.which("curl") === null) {
    leftOut("the documents' curl lines: curl is not installed");
    return;
  }
  await using host = await startHost();
  await host.put("image.png", await makePng(noise));
  const [, , inOneArgument = "", inAFile = ""] = await examplesOf("docs/api.md");
  expect(await host.run(inOneArgument)).toBeUndefined();
  expect(await host.run(inAFile)).toMatchObject({ original_filename: "image.png" });
});

/** A folder with `image.png`, a web with one picture, and a service, each in the place of the documents'. */
async function startHost() {
  const folder = await mkdtemp(join(tmpdir(), "imagesvc-readme-"));
  const put = (name: string, bytes: Uint8Array) => Bun.write(join(folder, name), bytes);
  const picture = await makePng();
  await put("image.png", picture);
  const web = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response(picture) });
  const nvidia = startNvidiaFake({ key: "nvapi-readme" });
  const service = await startService({
    FETCH_ALLOW: web.url.host,
    NVIDIA_BASE_URL: nvidia.url,
    NVIDIA_API_KEY: "nvapi-readme",
  });
  return {
    put,
    /** Runs lines in a shell; returns the answer, or undefined where there is none. */
    run: async (lines: string) => {
      const here = lines
        .replaceAll("http://localhost:8000", service.url.origin)
        .replaceAll("https://upload.wikimedia.org", web.url.origin);
      const bash = Bun.spawn(["bash", "-c", here], {
        cwd: folder,
        stdout: "pipe",
        stderr: "ignore",
      });
      const text = await bash.stdout.text();
      return text === "" ? undefined : JSON.parse(text);
    },
    async [Symbol.asyncDispose]() {
      await service.stop();
      await Promise.all([web.stop(true), nvidia.stop(), rm(folder, { recursive: true })]);
    },
  };
}
