/** What somebody sees who starts the service on a terminal. */
import { expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { greetingOf } from "../../src/cli/greeting.ts";
import { leftOut } from "../support/left-out.ts";
import { startProcess } from "../support/process.ts";

const main = join(import.meta.dir, "../../src/main.ts");

/** What a terminal shows of the program without arguments, until it shows `last`. */
async function seenOnTerminal(environment: Readonly<Record<string, string>>, last: RegExp) {
  const folder = await mkdtemp(join(tmpdir(), "imagesvc-greeting-"));
  const child = Bun.spawn(["script", "-qec", `exec ${process.execPath} ${main}`, "/dev/null"], {
    cwd: folder,
    env: {
      ...{ PATH: Bun.env["PATH"] ?? "", TERM: "dumb", HOME: folder, HOST: "127.0.0.1", PORT: "0" },
      ...{ CLIP_WEIGHTS: "openai", HF_HUB_OFFLINE: "true", WORKERS: "1", ...environment },
    },
    stdin: "pipe",
    stdout: "pipe",
    stderr: "ignore",
  });
  try {
    let seen = "";
    let isTold = false;
    const decoder = new TextDecoder();
    for await (const chunk of child.stdout) {
      seen += decoder.decode(chunk, { stream: true });
      // Ctrl-C, as the terminal hands it on.
      if (!isTold && last.test(seen)) {
        child.stdin.write("\x03");
        isTold = true;
      }
    }
    return { seen: seen.replaceAll("\r", ""), code: await child.exited };
  } finally {
    await rm(folder, { recursive: true });
  }
}

test("without arguments a terminal shows the address, the page, and what is needed next", async () => {
  if (Bun.which("script") === null) {
    leftOut("the greeting on a terminal: script is not installed");
    return;
  }
  const { seen, code } = await seenOnTerminal({}, /Ctrl-C stops it/);
  const [, origin] = /imagesvc listens at (http:\/\/127\.0\.0\.1:\d+)\/\n/.exec(seen) ?? [];
  expect(seen).toContain(`See it `);
  expect(seen).toContain(`${origin}/ in a browser`);
  expect(seen).toContain(
    `curl -F file=@photo.jpg '${origin}/vectorize-image-upload?model=clip-ViT-B-32'`,
  );
  expect(seen).toMatch(/^ {2}nv-dinov2 +needs NVIDIA_API_KEY/m);
  expect(code).toBe(0);
});

test("a port that is taken is told on a terminal with the mend", async () => {
  if (Bun.which("script") === null) {
    leftOut("a taken port on a terminal: script is not installed");
    return;
  }
  await using other = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response() });
  const { seen, code } = await seenOnTerminal({ PORT: String(other.port) }, /never/);
  expect(seen).toContain(`the port is taken (${other.port})`);
  expect(seen).toContain("choose another with PORT or --port");
  expect(seen).not.toContain("listens at");
  expect(code).toBe(1);
});

test("a log that is not on a terminal has no greeting", async () => {
  await using service = await startProcess();
  await service.url();
  expect(service.log()).not.toContain("listens at");
});

test("an address of all interfaces is greeted as localhost, and keys stand in the line", () => {
  const ready = { exactId: "clip-ViT-B-32@synthetic", state: () => ({ kind: "ready" }) as const };
  const said = greetingOf(new URL("http://0.0.0.0:8000/"), [ready], true);
  expect(said).toContain("imagesvc listens at http://localhost:8000/\n");
  expect(said).toContain(
    `curl -F file=@photo.jpg -H "Authorization: Bearer $KEY" 'http://localhost:8000/vectorize-image-upload?model=clip-ViT-B-32'`,
  );
  expect(said).not.toContain("@synthetic");
});
