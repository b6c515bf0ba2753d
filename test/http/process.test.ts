/** The service as a process: its start, its signals, its end. */
import { beforeAll, expect, test } from "bun:test";
import { readdir } from "node:fs/promises";
import { flagOf, settings } from "../../src/config.ts";
import { limits } from "../../src/limits.ts";
import { base64Of, postFile, postJson, until } from "../support/client.ts";
import {
  answer,
  type Behaviour,
  type NvidiaFake,
  startNvidiaFake,
} from "../support/nvidia-fake.ts";
import { type Bytes, makeJpeg, makePng } from "../support/pictures.ts";
import { runMain, type ServiceProcess, startProcess } from "../support/process.ts";
import { connectRaw } from "../support/raw-client.ts";

let jpeg: Bytes;
beforeAll(async () => {
  jpeg = await makeJpeg();
});

interface SlowUpstream extends AsyncDisposable {
  readonly service: ServiceProcess;
  readonly nvidia: NvidiaFake;
  /** Lets the upstream answer. */
  readonly release: () => void;
}

/** A process with an upstream that answers when the test says so. */
async function startWithSlowUpstream(): Promise<SlowUpstream> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const slowly: Behaviour = async () => {
    await promise;
    return answer(jpeg);
  };
  const nvidia = startNvidiaFake();
  nvidia.next(slowly);
  const service = await startProcess({
    NVIDIA_API_KEY: "nvapi-fake",
    NVIDIA_BASE_URL: nvidia.url,
  });
  return {
    service,
    nvidia,
    release: resolve,
    async [Symbol.asyncDispose]() {
      await service[Symbol.asyncDispose]();
      await nvidia.stop();
    },
  };
}

for (const signal of ["SIGTERM", "SIGINT"] as const) {
  test(`${signal} ends an idle service with 0, keep-alive connections or not`, async () => {
    await using service = await startProcess();
    const url = await service.url();
    await service.logged(/model ready/);
    const client = await connectRaw({ url });
    client.write("GET /livez HTTP/1.1\r\nHost: imagesvc\r\n\r\n");
    await client.received(/alive/);
    service.signal(signal);
    expect(await service.exited).toBe(0);
    expect(service.log()).not.toContain('"level":"error"');
    client.hangUp();
  });
}

test("SIGTERM lets a request finish, whose answer closes the connection", async () => {
  await using slow = await startWithSlowUpstream();
  const { service, nvidia, release } = slow;
  const url = await service.url();
  await service.logged(/model ready/);
  const idle = await connectRaw({ url });
  idle.write("GET /livez HTTP/1.1\r\nHost: imagesvc\r\n\r\n");
  await idle.received(/alive/);
  const running = postJson({ url }, "/vectorize-image-base64", { image_base64: base64Of(jpeg) });
  await until(() => nvidia.requests.length === 1);
  service.signal("SIGTERM");
  await service.logged(/"stopping"/);

  expect(await idle.closed()).toEndWith('{"status":"alive"}');
  expect(connectRaw({ url })).rejects.toThrow();

  release();
  const response = await running;
  expect(response.status).toBe(200);
  expect(response.headers.get("connection")).toBe("close");
  expect(Object.keys(JSON.parse(await response.text()))).toContain("vector");
  expect(await service.exited).toBe(0);
  expect(await readdir(service.downloadsDir)).toEqual([`${Bun.SHA256.hash(jpeg, "hex")}.jpg`]);
});

test("SIGTERM lets every inference finish that had come in", async () => {
  await using service = await startProcess();
  const url = await service.url();
  await service.logged(/model ready/);
  const large = await makePng({ width: 1200, height: 900 });
  const running = Array.from({ length: 12 }, () =>
    postFile({ url }, large, { query: "?model=clip-ViT-B-32" }),
  );
  await until(async () => (await readdir(service.downloadsDir)).length > 0);
  await Bun.sleep(50);
  service.signal("SIGTERM");
  const answers = await Promise.all(
    running.map(async (one) => {
      const response = await one;
      const body: { readonly dimensions?: number } = JSON.parse(await response.text());
      return { status: response.status, dimensions: body.dimensions };
    }),
  );
  expect(answers).toEqual(answers.map(() => ({ status: 200, dimensions: 512 })));
  expect(await service.exited).toBe(0);
});

test("a second signal ends at once, whatever is under way", async () => {
  await using slow = await startWithSlowUpstream();
  const { service, nvidia } = slow;
  const url = await service.url();
  await service.logged(/model ready/);
  const running = postJson({ url }, "/vectorize-image-base64", { image_base64: base64Of(jpeg) });
  running.catch(() => {});
  await until(() => nvidia.requests.length === 1);
  service.signal("SIGTERM");
  await service.logged(/"stopping"/);
  await Bun.sleep(limits.signalEchoMs + 100);
  service.signal("SIGTERM");
  expect(await service.exited).toBe(130);
});

test("a second signal in the middle of an inference ends at once, without a crash", async () => {
  await using service = await startProcess();
  const url = await service.url();
  await service.logged(/model ready/);
  const large = await makePng({ width: 3000, height: 2000 });
  for (let count = 0; count < 40; count += 1) {
    postFile({ url }, large, { query: "?model=clip-ViT-B-32" }).catch(() => {});
  }
  await until(async () => (await readdir(service.downloadsDir)).length > 0);
  service.signal("SIGTERM");
  await Bun.sleep(limits.signalEchoMs + 100);
  service.signal("SIGTERM");
  expect(await service.exited).toBe(130);
});

test("SIGTERM before the model is ready ends with 0 and without an error", async () => {
  await using service = await startProcess();
  await service.url();
  service.signal("SIGTERM");
  expect(await service.exited).toBe(0);
  expect(service.log()).not.toContain('"level":"error"');
});

test("SIGTERM before anything listens ends with 0", async () => {
  await using service = await startProcess();
  await Bun.sleep(20);
  service.signal("SIGTERM");
  const code = await service.exited;
  // Until our own code runs, the signal has its usual effect.
  expect([0, 143]).toContain(code);
});

test("a port that is taken is one line that says what to do, and 1", async () => {
  await using first = await startProcess();
  const url = await first.url();
  await using second = await startProcess({ PORT: url.port });
  expect(await second.exited).toBe(1);
  expect(second.log()).toContain("the port is taken");
  first.signal("SIGTERM");
  expect(await first.exited).toBe(0);
});

test("every setting that does not parse is named, in one line each, and the start ends with 2", async () => {
  const { code, output, errors } = await runMain(["serve", "--max-pixels", "many"], {
    PORT: "99999",
    CLIP_WEIGHTS: "clip",
    CORS_ORIGINS: "app.example.com",
    NVIDIA_BASE_URL: "https://user:hunter2@nvidia.example",
    NVIDIA_API_KEY: "nvapi-hunter2",
  });
  expect(code).toBe(2);
  expect(output).toBe("");
  expect(errors).not.toContain("hunter2");
  const named = errors
    .trimEnd()
    .split("\n")
    .map((line) => /^imagesvc: ([A-Z_]+) is .*: it must be /.exec(line)?.[1]);
  expect(named.sort()).toEqual([
    "CLIP_WEIGHTS",
    "CORS_ORIGINS",
    "MAX_PIXELS",
    "NVIDIA_BASE_URL",
    "PORT",
  ]);
});

test("a FETCH_ALLOW that names no network is a wrong setting too", async () => {
  const { code, errors } = await runMain(["serve"], { FETCH_ALLOW: "10.0.0.0/99" });
  expect(code).toBe(2);
  expect(errors).toMatch(/^imagesvc: .*FETCH_ALLOW.*\n$/);
});

test("a key file that cannot be read stops the start without printing anything of it", async () => {
  const { code, errors } = await runMain(["serve"], { NVIDIA_API_KEY_FILE: "/nowhere/key" });
  expect(code).not.toBe(0);
  expect(errors).toContain("NVIDIA_API_KEY_FILE");
});

for (const argv of [["sing"], ["serve", "twice"], ["--no-such-flag"], ["--port"]]) {
  test(`"${argv.join(" ")}" is wrong usage`, async () => {
    const { code, output, errors } = await runMain(argv);
    expect(code).toBe(2);
    expect(output).toBe("");
    expect(errors).toMatch(/^imagesvc: .*--help/s);
  });
}

test("the key is no flag, and its value is not repeated", async () => {
  const { code, errors } = await runMain(["--nvidia-api-key=nvapi-hunter2"]);
  expect(code).toBe(2);
  expect(errors).not.toContain("hunter2");
});

test("--help names every setting that is a flag", async () => {
  for (const argv of [["--help"], ["serve", "--help"], ["-h"]]) {
    const { code, output } = await runMain(argv);
    expect(code).toBe(0);
    for (const [name, { secret }] of Object.entries(settings)) {
      expect(output.includes(`${flagOf(name)} `)).toBe(!secret);
    }
  }
});

test("--version names the version and Bun's", async () => {
  const { code, output } = await runMain(["--version"]);
  expect(code).toBe(0);
  expect(output).toMatch(/^imagesvc \d+\.\d+\.\d+.*bun 1\./s);
});

test("a start that everybody can reach is warned of, one on loopback is not", async () => {
  await using open = await startProcess({ HOST: "0.0.0.0" });
  await open.logged(/everyone who reaches this address/);
  await open.logged(/"listening"/);
  open.signal("SIGTERM");
  await using own = await startProcess();
  await own.url();
  own.signal("SIGTERM");
  expect(await open.exited).toBe(0);
  expect(await own.exited).toBe(0);
  expect(own.log()).not.toContain("everyone who reaches");
});
