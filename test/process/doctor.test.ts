/** `imagesvc doctor` as a process of its own. */
import { describe, expect, test } from "bun:test";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { runMain, startProcess } from "../support/process.ts";
import { repositoryRoot } from "../support/source-files.ts";
import { temporaryFolder } from "../support/tiny-clip.ts";
import { runUnprivileged } from "../support/unprivileged.ts";

/** Settings under which nothing is asked of other machines: the host in NVIDIA's place answers here. */
function quiet(folder: string) {
  const server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response() });
  return {
    settings: {
      MODELS_DIR: join(folder, "models"),
      DOWNLOADS_DIR: join(folder, "downloads"),
      CACHE_DIR: join(folder, "cache"),
      NVIDIA_BASE_URL: server.url.origin,
    },
    [Symbol.asyncDispose]: () => server.stop(true),
  };
}

describe("a host where all is well", () => {
  test("has one line a check, aligned and without colours, and exit code 0", async () => {
    await using folder = await temporaryFolder();
    await using host = quiet(folder.path);
    const { code, output, errors } = await runMain(["doctor"], host.settings);
    expect(code).toBe(0);
    const lines = output.trimEnd().split("\n");
    for (const line of lines) expect(line).toMatch(/^(ok {2}|warn) {2}\S.*\S$/);
    const names = lines.map((line) => line.slice(6).split(/ {2}/, 1)[0]);
    for (const name of ["processor", "native libraries", "models folder", "port", "clock"]) {
      expect(names).toContain(name);
    }
    expect(errors).toMatch(/^\d+ ok, \d+ to look at, 0 failed\n$/);
  });

  test("is left as it was", async () => {
    await using folder = await temporaryFolder();
    await using host = quiet(folder.path);
    await runMain(["doctor"], host.settings);
    expect(await readdir(folder.path)).toEqual([]);
  });

  test("is told as JSON with the same keys in every row", async () => {
    await using folder = await temporaryFolder();
    await using host = quiet(folder.path);
    const { code, output, errors } = await runMain(["doctor", "--json"], host.settings);
    expect({ code, errors }).toEqual({ code: 0, errors: "" });
    const rows = JSON.parse(output);
    expect(rows.length).toBeGreaterThan(20);
    for (const row of rows) {
      expect(Object.keys(row)).toEqual(["name", "status", "found", "mend"]);
      expect(row.mend === null).toBe(row.status === "ok");
    }
  });
});

describe("a host where much is wrong", () => {
  test("has every fault of the settings among the rest, and exit code 1", async () => {
    await using folder = await temporaryFolder();
    await using host = quiet(folder.path);
    const wrong = {
      PORT: "many",
      FETCH_ALLOW: "10.0.0.0/99",
      NVIDIA_API_KEY: '"nvapi-hunter2"',
      DOWNLOADS_DIR: "/dev/null",
    };
    const { code, output } = await runMain(["doctor", "--workers=x"], {
      ...host.settings,
      ...wrong,
    });
    expect(code).toBe(1);
    expect(output).not.toContain("hunter2");
    for (const said of ["PORT is", "WORKERS is", "FETCH_ALLOW contains", "point DOWNLOADS_DIR"]) {
      expect(output).toMatch(new RegExp(`^fail .*${said}`, "m"));
    }
    expect(output).toMatch(/^fail {2}NVIDIA key /m);
  });

  test("has a line for each secret that cannot be read", async () => {
    await using folder = await temporaryFolder();
    await using host = quiet(folder.path);
    const files = { NVIDIA_API_KEY_FILE: "/nowhere", API_KEYS_FILE: folder.path };
    const { code, output } = await runMain(["doctor"], { ...host.settings, ...files });
    expect(code).toBe(1);
    expect(output).toMatch(/^fail {2}NVIDIA key +NVIDIA_API_KEY_FILE \(\/nowhere\).*no such file/m);
    expect(output).toMatch(/^fail {2}API keys +API_KEYS_FILE .*it is a folder/m);
    expect(output.match(/cannot be read/g)).toHaveLength(2);
  });

  test("says who has the port", async () => {
    await using folder = await temporaryFolder();
    await using host = quiet(folder.path);
    const { port } = new URL(host.settings.NVIDIA_BASE_URL);
    const { code, output } = await runMain(["doctor", "--port", port], host.settings);
    expect(code).toBe(1);
    expect(output).toMatch(new RegExp(`^fail {2}port .*taken by .*process ${process.pid}`, "m"));
  });
});

test("a user without rights is told so, and everything else", async () => {
  await using folder = await temporaryFolder();
  await using host = quiet(folder.path);
  const environment = { ...host.settings, CLIP_WEIGHTS: "synthetic" };
  const ended = await runUnprivileged(["doctor"], environment);
  if (ended === undefined) return;
  expect(ended.code).toBe(1);
  expect(ended.output).toMatch(/^fail {2}downloads folder .*this user may not write there/m);
  expect(ended.output).toMatch(/^ok {4}processor/m);
});

test("an interrupt ends it with 130 and leaves nothing", async () => {
  await using folder = await temporaryFolder();
  const asked = Promise.withResolvers<void>();
  await using silent = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: () => {
      asked.resolve();
      return new Promise<Response>(() => {});
    },
  });
  await using host = quiet(folder.path);
  const environment = { ...host.settings, NVIDIA_BASE_URL: silent.url.origin };
  const command = [process.execPath, join(repositoryRoot, "src/main.ts"), "doctor"];
  await using doctor = await startProcess(environment, { command });
  await asked.promise;
  doctor.signal("SIGINT");
  expect(await doctor.exited).toBe(130);
  expect(await readdir(folder.path)).toEqual([]);
});
