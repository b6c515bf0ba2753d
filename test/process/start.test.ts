/** `bun src/main.ts` as a process of its own: what it says and how it ends before it serves. */
import { describe, expect, test } from "bun:test";
import { chmod } from "node:fs/promises";
import { join } from "node:path";
import packageJson from "../../package.json" with { type: "json" };
import { commandOf } from "../../src/cli/commands.ts";
import { settings } from "../../src/config.ts";
import { runMain } from "../support/process.ts";
import { repositoryRoot } from "../support/source-files.ts";
import { temporaryFolder } from "../support/tiny-clip.ts";

describe("what is asked for and over at once", () => {
  test.each(["--help", "-h"])(
    "%s names every setting of the service once as a flag, the secret apart",
    async (flag) => {
      const { code, output, errors } = await runMain([flag]);
      expect({ code, errors }).toEqual({ code: 0, errors: "" });
      for (const name of commandOf("serve").settings) {
        const { secret } = settings[name];
        const shown = `--${name.toLowerCase().replaceAll("_", "-")} <value>`;
        expect(output.split(shown)).toHaveLength(secret ? 1 : 2);
      }
      expect(output).toContain("Only in the environment:\n  NVIDIA_API_KEY\n");
      expect(output).not.toContain("`");
    },
  );

  test.each(["--version", "-V"])(
    "%s tells the versions of all that matters, and the processor's features",
    async (flag) => {
      const { code, output, errors } = await runMain([flag]);
      expect({ code, errors }).toEqual({ code: 0, errors: "" });
      expect(output).toMatch(
        /^imagesvc (.+)\ncommit ([0-9a-f]{40}(-dirty)?|unknown)\nbun (.+)\nonnxruntime \d.+\nlibvips \d.+\ncpu .+\n$/,
      );
      expect(output).toStartWith(`imagesvc ${packageJson.version}\n`);
      expect(output).toContain(`\nbun ${Bun.version}\n`);
    },
  );

  test("help is given although settings are wrong", async () => {
    expect((await runMain(["serve", "--help"], { PORT: "none" })).code).toBe(0);
  });
});

describe("wrong usage is exit code 2, with a hint on stderr and nothing on stdout", () => {
  test.each([
    [["fly"], 'there is no command "fly"'],
    [["serve", "now"], 'serve: "now" is too much'],
    [["models"], "models is not a whole command: there are models list, models pull"],
    [["models", "eat"], 'there is no command "models eat"'],
    [["models", "import"], "models import: DIR is missing"],
    [["completions", "fish"], 'SHELL is "fish": it must be one of bash, zsh'],
    [["licenses", "--port", "1"], "--port"],
    [["--nope"], "--nope"],
    [["serve", "--ports", "81"], "--ports"],
    [["--port"], "--port"],
    [["--nvidia-api-key", "nvapi-secret"], "--nvidia-api-key"],
  ] as const)("%p", async (argv, said) => {
    const { code, output, errors } = await runMain(argv);
    expect({ code, output }).toEqual({ code: 2, output: "" });
    expect(errors).toStartWith("imagesvc: ");
    expect(errors).toContain(said);
    expect(errors).toMatch(/\nTry: imagesvc (.+ )?--help\n$/);
    expect(errors).not.toContain("nvapi-secret");
  });
});

describe("wrong settings are exit code 2", () => {
  test("all of them are told, one a line, before anything is opened", async () => {
    await using folder = await temporaryFolder();
    const downloads = join(folder.path, "downloads");
    const { code, output, errors } = await runMain(["--port", "70000"], {
      DOWNLOADS_DIR: downloads,
      LOG_LEVEL: "loud",
      WORKERS: "many",
      NVIDIA_API_KEY: "nvapi-secret",
    });
    expect({ code, output }).toEqual({ code: 2, output: "" });
    expect(
      errors
        .trim()
        .split("\n")
        .map((line) => line.split(" is ")[0]),
    ).toEqual(["imagesvc: PORT", "imagesvc: WORKERS", "imagesvc: LOG_LEVEL"]);
    expect(errors).not.toContain("nvapi-secret");
    expect(await Bun.file(downloads).exists()).toBe(false);
  });

  test("an entry of FETCH_ALLOW that is none is told too", async () => {
    const { code, errors } = await runMain(["serve"], { FETCH_ALLOW: "10.0.0.0/99,localhost" });
    expect(code).toBe(2);
    expect(errors).toStartWith('imagesvc: FETCH_ALLOW contains "10.0.0.0/99": ');
    expect(errors.trim().split("\n")).toHaveLength(1);
  });

  test("a flag's fault is told like a variable's", async () => {
    const { code, errors } = await runMain(["openapi", "--workers=many"]);
    expect(code).toBe(2);
    expect(errors).toBe('imagesvc: WORKERS is "many": it must be a whole number from 0 to 64\n');
  });
});

/** The log lines of a process that ended by itself. */
function linesOf(errors: string): { readonly level: string; readonly message: string }[] {
  return errors
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
}

/** The only sentence of level error. */
function complaintOf(errors: string): string {
  const complaints = linesOf(errors).filter(({ level }) => level === "error");
  expect(complaints).toHaveLength(1);
  return complaints[0]?.message ?? "";
}

describe("what cannot be served is exit code 1, with one sentence that says the mend", () => {
  test("a port that is taken", async () => {
    await using folder = await temporaryFolder();
    const other = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response() });
    const { code, errors } = await runMain(["serve"], {
      PORT: String(other.port),
      DOWNLOADS_DIR: folder.path,
    });
    await other.stop(true);
    expect(code).toBe(1);
    expect(complaintOf(errors)).toContain("the port is taken");
    expect(complaintOf(errors)).toContain("--port");
  });

  test("an address of METRICS_LISTEN that is taken, but the port comes first", async () => {
    await using folder = await temporaryFolder();
    using other = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response() });
    const METRICS_LISTEN = `127.0.0.1:${other.port}`;
    const settings = { METRICS_LISTEN, DOWNLOADS_DIR: folder.path };
    const { code, errors } = await runMain(["serve"], settings);
    expect(code).toBe(1);
    expect(complaintOf(errors)).toBe(
      `could not start: METRICS_LISTEN (${METRICS_LISTEN}) is taken: choose another port, or stop the other program`,
    );
    const both = await runMain(["serve"], { ...settings, PORT: String(other.port) });
    expect(complaintOf(both.errors)).toContain("the port is taken");
  });

  test.each(["/dev/null", "/dev/null/downloads", "/proc/downloads"])(
    "a downloads folder that cannot be one: %s",
    async (path) => {
      const { code, errors } = await runMain(["serve"], { DOWNLOADS_DIR: path });
      expect(code).toBe(1);
      expect(complaintOf(errors)).toContain("DOWNLOADS_DIR");
    },
  );

  test.each(["192.0.2.1", "999.1.1.1", "not a host"])("an address of no one: %s", async (host) => {
    await using folder = await temporaryFolder();
    const { code, errors } = await runMain(["serve"], { HOST: host, DOWNLOADS_DIR: folder.path });
    expect(code).toBe(1);
    expect(complaintOf(errors)).toContain("HOST");
  });

  test("a key file that is named and not there", async () => {
    const { code, errors } = await runMain(["serve"], { NVIDIA_API_KEY_FILE: "/nowhere/key" });
    expect(code).toBe(1);
    expect(complaintOf(errors)).toContain("NVIDIA_API_KEY_FILE");
  });
});

describe("openapi", () => {
  test("prints the document whole and ends", async () => {
    const { code, output, errors } = await runMain(["openapi"]);
    expect({ code, errors }).toEqual({ code: 0, errors: "" });
    const document = JSON.parse(output);
    expect(document.openapi).toStartWith("3.");
    expect(Object.keys(document.paths)).toContain("/vectorize-image");
  });

  test.each(["openapi", "licenses", "completions bash"])(
    "%s: a reader that has had enough is no failure",
    async (command) => {
      const main = join(repositoryRoot, "src/main.ts");
      const script = `set -o pipefail; "$0" "$1" ${command} | head -c 1 >/dev/null`;
      const child = Bun.spawn(["bash", "-c", script, process.execPath, main], {
        env: { PATH: Bun.env["PATH"] ?? "" },
        stderr: "pipe",
      });
      expect({ errors: await child.stderr.text(), code: await child.exited }).toEqual({
        errors: "",
        code: 0,
      });
    },
  );

  test.each(["openapi", "--version", "--help", "completions bash"])(
    "%s: a stdout that is full is one sentence, and exit code 1",
    async (command) => {
      const main = join(repositoryRoot, "src/main.ts");
      const child = Bun.spawn(
        ["bash", "-c", `"$0" "$1" ${command} >/dev/full`, process.execPath, main],
        {
          env: { PATH: Bun.env["PATH"] ?? "" },
          stderr: "pipe",
        },
      );
      const [errors, code] = await Promise.all([child.stderr.text(), child.exited]);
      expect(code).toBe(1);
      expect(errors).toContain("stdout cannot be written (ENOSPC): free space");
      expect(errors.trim().split("\n")).toHaveLength(1);
    },
  );

  test("loses nothing to a reader that is slow", async () => {
    const main = join(repositoryRoot, "src/main.ts");
    const script = `"$0" "$1" openapi | { sleep 0.5; wc -c; }`;
    const child = Bun.spawn(["sh", "-c", script, process.execPath, main], {
      env: { PATH: Bun.env["PATH"] ?? "" },
      stdout: "pipe",
    });
    const [slow, { output }] = await Promise.all([child.stdout.text(), runMain(["openapi"])]);
    expect(Number(slow)).toBe(Buffer.byteLength(output));
  });
});

describe("the key's file", () => {
  test("may be systemd's, and needs not be there", async () => {
    await using folder = await temporaryFolder();
    const credentials = { CREDENTIALS_DIRECTORY: folder.path };
    expect((await runMain(["openapi"], credentials)).code).toBe(0);
    const path = join(folder.path, "nvidia_api_key");
    await Bun.write(path, "nvapi-secret\n");
    await chmod(path, 0o400);
    expect((await runMain(["openapi"], credentials)).code).toBe(0);
  });
});
