import { expect, test } from "bun:test";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { leftOut } from "./support/left-out.ts";
import { testModelsDir } from "./support/service.ts";
import { repositoryRoot } from "./support/source-files.ts";

const pictureName = /^[0-9a-f]{64}\.png$/;
/** What each printed line must answer, in their order. */
const answers = [
  {
    message: "Image processed successfully",
    model: "clip-ViT-B-32@synthetic",
    dimensions: 512,
  },
  {
    status: "success",
    model: "nv-dinov2@fake",
    dimensions: 1536,
    saved_as: expect.stringMatching(pictureName),
    source_url: expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+\/picture\.png$/),
  },
  {
    status: "success",
    model: "nv-dinov2@fake",
    dimensions: 1536,
    saved_as: expect.stringMatching(pictureName),
    original_filename: "picture.png",
  },
  {
    status: "success",
    model: "nv-dinov2@fake",
    dimensions: 1536,
    saved_as: expect.stringMatching(pictureName),
    original_filename: "picture.png",
  },
];

test("the demo prints curl lines that work as they stand, and leaves nothing running", async () => {
  await using demo = await startDemo({ PORT: "0" });
  const printed = await demo.printed("Ctrl-C stops everything.");
  expect(printed).toMatch(/^The demo is ready\. In a browser: +http:\/\/127\.0\.0\.1:\d+\/$/m);

  const lines = printed.split("\n").filter((line) => line.startsWith("   curl "));
  expect(lines).toHaveLength(answers.length);
  if (Bun.which("curl") === null) {
    leftOut("the demo's curl lines: curl is not installed");
  } else {
    for (const [index, line] of lines.entries()) {
      const answer = JSON.parse(await shell(line));
      expect(answer).toMatchObject(answers[index] ?? {});
      const vector: unknown[] = answer.vector ?? answer.embedding;
      expect(vector).toHaveLength(answer.dimensions);
      expect(vector.every(Number.isFinite)).toBe(true);
    }
    // Three requests keep the same picture, once.
    expect(await readdir(demo.downloadsDir)).toEqual([expect.stringMatching(pictureName)]);
  }

  const servers = [...new Set(printed.match(/http:\/\/127\.0\.0\.1:\d+/g))];
  expect(servers).toHaveLength(2);
  expect(await demo.stop("SIGINT")).toBe(0);
  for (const server of servers) expect(await isReachable(server)).toBe(false);
});

test("one Ctrl-C that arrives twice, as under bun run, still ends the demo cleanly", async () => {
  await using demo = await startDemo({ PORT: "0" });
  await demo.printed("Ctrl-C stops everything.");
  expect(await demo.stop("SIGINT", "SIGINT")).toBe(0);
});

test("a taken port is said in one sentence, before anything else starts", async () => {
  await using taken = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response() });
  await using demo = await startDemo({ PORT: String(taken.port) });
  expect(await demo.ended()).toEqual({
    code: 1,
    stderr: `demo: port ${taken.port} of 127.0.0.1 is taken: stop the other program, or choose another with PORT=8001\n`,
  });
});

/** Starts the demo, with a downloads folder of its own and the tests' weights. */
async function startDemo(settings: Readonly<Record<string, string>>) {
  const downloadsDir = await mkdtemp(join(tmpdir(), "imagesvc-demo-"));
  const demo = Bun.spawn([process.execPath, "test/support/demo.ts"], {
    cwd: repositoryRoot,
    env: {
      ...Bun.env,
      HOST: "127.0.0.1",
      WORKERS: "1",
      MODELS_DIR: testModelsDir,
      DOWNLOADS_DIR: downloadsDir,
      DOWNLOADS_MIN_FREE_BYTES: "0",
      CACHE_MAX_BYTES: "0",
      ...settings,
    },
    stdout: "pipe",
    stderr: "pipe",
  });
  const stderr = demo.stderr.text();
  const ended = async () => ({ code: await demo.exited, stderr: await stderr });
  return {
    downloadsDir,
    ended,
    /** What it has said on stdout by the time that it has said `last`. */
    printed: async (last: string): Promise<string> => {
      let text = "";
      for await (const chunk of demo.stdout.pipeThrough(new TextDecoderStream())) {
        text += chunk;
        if (text.includes(last)) return text;
      }
      throw new Error(`the demo ended early: ${text}${(await ended()).stderr}`);
    },
    /** Sends the signals and returns the exit code. */
    stop: (...signals: readonly NodeJS.Signals[]): Promise<number> => {
      for (const signal of signals) demo.kill(signal);
      return demo.exited;
    },
    async [Symbol.asyncDispose]() {
      demo.kill("SIGKILL");
      await demo.exited;
      await rm(downloadsDir, { recursive: true, force: true });
    },
  };
}

/** Runs a line as somebody would who pastes it; returns what it prints. */
async function shell(line: string): Promise<string> {
  const bash = Bun.spawn(["bash", "-c", line], {
    cwd: repositoryRoot,
    stdout: "pipe",
    stderr: "ignore",
  });
  return await bash.stdout.text();
}

async function isReachable(url: string): Promise<boolean> {
  return await fetch(url).then(
    () => true,
    () => false,
  );
}
