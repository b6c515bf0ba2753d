/** Starts on a host that is not ready for them: each is told in one sentence with its mend, never a stack. */
import { describe, expect, test } from "bun:test";
import { chmod, mkdir, truncate } from "node:fs/promises";
import { join } from "node:path";
import { defaultModel } from "../support/default-model.ts";
import { leftOut } from "../support/left-out.ts";
import { runMain, startProcess } from "../support/process.ts";
import { temporaryFolder } from "../support/tiny-clip.ts";
import { runUnprivileged } from "../support/unprivileged.ts";

/** The only sentence of level error. */
function complaintOf(errors: string): string {
  const lines = errors
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  const complaints = lines.filter(({ level }) => level === "error");
  expect(complaints).toHaveLength(1);
  expect(errors).not.toMatch(/\\n\s+at /);
  return complaints[0].message;
}

test("a key of NVIDIA's that is none ends the start, and is not quoted", async () => {
  for (const key of ["hunter2 hunter2", "hunter2\nhunter2"]) {
    const { code, errors } = await runMain(["serve"], { NVIDIA_API_KEY: key });
    expect(code).toBe(2);
    expect(errors).toBe(
      "imagesvc: NVIDIA_API_KEY is not usable: it must be one word of printable ASCII, as it was given out\n",
    );
  }
});

test("faults of every kind of setting are told at once, each on one line", async () => {
  const { code, errors } = await runMain(["serve", "--port=1\n2"], {
    FETCH_ALLOW: "10.0.0.0/99,localhost",
    CORS_ORIGINS: "everyone",
    HTTPS_PROXY: "ftp://ada:hunter2@proxy",
  });
  expect(code).toBe(2);
  expect(errors.split("\n").map((line) => line.split(" ", 2)[1])).toEqual([
    "PORT",
    "HTTPS_PROXY",
    "CORS_ORIGINS",
    "FETCH_ALLOW",
    undefined,
  ]);
  expect(errors).not.toContain("hunter2");
});

describe("a key file", () => {
  test("that is a folder is told beside another that is not there", async () => {
    const files = { NVIDIA_API_KEY_FILE: "/", API_KEYS_FILE: "/nowhere" };
    const { code, errors } = await runMain(["serve"], files);
    expect(code).toBe(1);
    expect(complaintOf(errors)).toBe(
      "NVIDIA_API_KEY_FILE (/) cannot be read: it is a folder; API_KEYS_FILE (/nowhere) cannot be read: there is no such file",
    );
  });

  test.each(["NVIDIA_API_KEY_FILE", "API_KEYS_FILE"])("of another user: %s", async (setting) => {
    await using folder = await temporaryFolder();
    await chmod(folder.path, 0o755);
    const path = join(folder.path, "key");
    await Bun.write(path, "hunter2");
    await chmod(path, 0o600);
    const ended = await runUnprivileged(["serve"], { [setting]: path });
    if (ended === undefined) return;
    expect(ended.code).toBe(1);
    expect(complaintOf(ended.errors)).toBe(
      `${setting} (${path}) cannot be read: this user may not read it`,
    );
  });

  test("of API keys that holds something else is not quoted", async () => {
    await using folder = await temporaryFolder();
    const path = join(folder.path, "keys");
    await Bun.write(path, "hunter2\n");
    const { code, errors } = await runMain(["serve"], { API_KEYS_FILE: path });
    expect(code).toBe(1);
    expect(complaintOf(errors)).toContain("API_KEYS_FILE");
    expect(errors).not.toContain("hunter2");
  });
});

test("a downloads folder of another user ends the start", async () => {
  await using folder = await temporaryFolder();
  await chmod(folder.path, 0o755);
  const ended = await runUnprivileged(["serve"], {
    DOWNLOADS_DIR: folder.path,
    MODELS_DIR: "/dev/null",
    CLIP_WEIGHTS: "synthetic",
  });
  if (ended === undefined) return;
  expect(ended.code).toBe(1);
  expect(complaintOf(ended.errors)).toContain("DOWNLOADS_DIR");
});

describe("a model that cannot be loaded leaves the service listening, and says why", () => {
  /** What `/readyz` says of CLIP once it is not loading any more, and the log until then. */
  async function whyUnavailable(environment: Readonly<Record<string, string>>) {
    await using service = await startProcess(environment);
    const url = await service.url();
    await service.logged(/the model (?:could not be loaded|is not available)/);
    const state = await (await fetch(new URL("/readyz", url))).text();
    service.signal("SIGTERM");
    expect(await service.exited).toBe(0);
    expect(service.log()).not.toMatch(/\\n\s+at /);
    return { state, log: service.log() };
  }

  test("where its folder cannot be one", async () => {
    const { state, log } = await whyUnavailable({ MODELS_DIR: "/dev/null" });
    expect(state).toContain("MODELS_DIR cannot be made a folder");
    expect(log).toContain("MODELS_DIR cannot be made a folder");
  });

  test("where the weights have the right length and other bytes", async () => {
    await using folder = await temporaryFolder();
    const path = join(folder.path, defaultModel.id, "model.safetensors");
    await mkdir(join(path, ".."));
    await Bun.write(path, "");
    await truncate(path, defaultModel.source.bytes);
    const { state } = await whyUnavailable({ MODELS_DIR: folder.path, CLIP_WEIGHTS: "openai" });
    expect(state).toContain("model.safetensors is not the file that it should be: copy it again.");
  });

  test("where the weights have another length, and may not be downloaded", async () => {
    await using folder = await temporaryFolder();
    const path = join(folder.path, defaultModel.id, "model.safetensors");
    await mkdir(join(path, ".."));
    await Bun.write(path, "short");
    const { state } = await whyUnavailable({ MODELS_DIR: folder.path, CLIP_WEIGHTS: "openai" });
    expect(state).toContain(
      `"model.safetensors has 5 bytes instead of ${defaultModel.source.bytes}: copy it again. The weights could not be downloaded: HF_HUB_OFFLINE`,
    );
    expect(state).toContain("imagesvc models pull");
  });

  test("where the disk is full", async () => {
    await using folder = await temporaryFolder();
    const mounted = Bun.spawnSync(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder.path]);
    if (!mounted.success) return leftOut("a full disk: only root mounts one");
    try {
      const { state } = await whyUnavailable({ MODELS_DIR: folder.path });
      expect(state).toMatch(
        /The model could not be written: the disk of MODELS_DIR has \d+ MB free, and \d+ MB are needed: free space/,
      );
    } finally {
      expect(Bun.spawnSync(["umount", "--lazy", folder.path]).success).toBe(true);
    }
  });
});
