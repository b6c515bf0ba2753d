/** Keys, tokens and passwords: whatever the service and its commands say or write, none of them is in it. */
import { describe, expect, test } from "bun:test";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { createApiKey, withApiKey } from "../../src/store/api-keys.ts";
import { until } from "../support/client.ts";
import { defaultModel } from "../support/default-model.ts";
import { echo, startProxy } from "../support/echoing-hosts.ts";
import { startHub } from "../support/hub.ts";
import { type Behaviour, misbehave, startNvidiaFake } from "../support/nvidia-fake.ts";
import { type Bytes, makeJpeg } from "../support/pictures.ts";
import { runMain, type ServiceProcess, startProcess } from "../support/process.ts";
import {
  findLeaks,
  refuseLeaks,
  type Said,
  type Secret,
  saidInCommandLines,
  saidInFiles,
  tracesOf,
} from "../support/secret-traces.ts";
import { temporaryFolder } from "../support/tiny-clip.ts";

const apiKey = createApiKey("phone-app", new Date());
const nvidiaKey = "nvapi-n3v3r+s4y/th1s=k3y~";
const nextNvidiaKey = "nvapi-n0r+th3/n3xt=0ne~~";
const hubToken = "hf_n0b0dy+m4y/kn0w=th1s";
const proxyPassword = "pr0xy+p4ss/w0rd=n3v3r";
const proxyAccount = { name: "operator", password: proxyPassword };
const secrets: readonly Secret[] = [
  { name: "NVIDIA's key", value: nvidiaKey },
  { name: "NVIDIA's next key", value: nextNvidiaKey },
  { name: "the API key", value: apiKey.key },
  { name: "the hub's token", value: hubToken },
  { name: "the proxy's password", value: proxyPassword },
];

/** A folder for everything that is written, and one for the files of secrets, which are not searched. */
async function setUp() {
  const folder = await temporaryFolder();
  const written = join(folder.path, "written");
  const secret = join(folder.path, "secret");
  for (const path of [written, secret]) await mkdir(path);
  for (const name of ["downloads", "cache", "home", "tmp", "models"]) {
    await mkdir(join(written, name));
  }
  await Bun.write(join(secret, "api_keys"), withApiKey("", apiKey.entry));
  await Bun.write(join(secret, "nvidia_api_key"), `${nvidiaKey}\n`);
  const settings = {
    DOWNLOADS_DIR: join(written, "downloads"),
    CACHE_DIR: join(written, "cache"),
    HOME: join(written, "home"),
    TMPDIR: join(written, "tmp"),
    HF_TOKEN: hubToken,
    LOG_LEVEL: "debug",
  };
  return { written, secret, settings, [Symbol.asyncDispose]: folder[Symbol.asyncDispose] };
}

let nextSeed = 1;
const nextPicture = () => makeJpeg({ seed: nextSeed++ });

async function saidIn(where: string, response: Response): Promise<Said> {
  const text = `${response.status} ${JSON.stringify([...response.headers])} ${await response.text()}`;
  return { where, text };
}

/** Sends every kind of request, good and bad, with the right key and with others. */
async function driveRequests(url: URL, imageUrl: string): Promise<Said[]> {
  const said: Said[] = [];
  const ask = async (
    path: string,
    init: RequestInit = {},
    key: string | undefined = apiKey.key,
  ) => {
    const headers = new Headers(init.headers);
    if (key !== "") headers.set("authorization", `Bearer ${key}`);
    const response = await fetch(new URL(path, url), { redirect: "manual", ...init, headers });
    const answer = await saidIn(`the answer ${response.status} to ${path}`, response);
    said.push(answer);
    return response.status;
  };
  const json = (body: object): RequestInit => ({
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  const upload = (image: Bytes): RequestInit => {
    const body = new FormData();
    body.append("file", new File([image], "a.jpg"));
    return { method: "POST", body };
  };
  const clip = "?model=clip-ViT-B-32";
  const base64 = (image: Bytes) => ({ image_base64: Buffer.from(image).toString("base64") });
  for (const path of ["/livez", "/readyz", "/docs", "/openapi.json", "/problems/unauthorized"]) {
    expect(await ask(path)).toBe(200);
  }
  expect(await ask(`/vectorize-image-upload${clip}`, upload(await nextPicture()))).toBe(200);
  expect(await ask("/vectorize-image-upload", upload(await nextPicture()))).toBe(200);
  expect(await ask(`/vectorize-image${clip}`, json({ image_url: imageUrl }))).toBe(200);
  const imageUrls = new URLSearchParams({ imageUrl });
  expect(await ask("/upload", { method: "POST", body: imageUrls })).toBe(200);
  expect(await ask(`/vectorize-image-base64${clip}`, json(base64(await nextPicture())))).toBe(200);
  expect(await ask("/embed-text", json({ text: "a dog" }))).toBe(200);
  const compared = { ...base64(await nextPicture()), texts: ["a dog"] };
  expect(await ask("/similarity", json(compared))).toBe(200);
  expect(
    await ask(`/vectorize-image-upload?model=${nvidiaKey}`, upload(await nextPicture()), "no"),
  ).toBe(401);
  expect(await ask("/embed-text", json({ text: "a dog" }), "")).toBe(401);
  expect(await ask("/embed-text", json({ text: 1 }))).toBe(422);
  expect(await ask("/embed-text", { method: "POST", body: "{" })).toBe(415);
  expect(await ask("/nothing")).toBe(404);
  expect(await ask("/embed-text", { method: "DELETE" })).toBe(405);
  expect(await ask(`/livez?key=${encodeURIComponent(apiKey.key)}`)).toBe(200);
  return said;
}

/** A web server of pictures that notes what it is told. */
function servePictures(heard: Said[]) {
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: async (request) => {
      heard.push({ where: "an image request", text: JSON.stringify([...request.headers]) });
      return new Response(await nextPicture());
    },
  });
  const url = new URL("/a.jpg", server.url).href;
  return { url, [Symbol.asyncDispose]: () => server.stop(true) };
}

/** Asks for a vector of NVIDIA's while somebody on the way misbehaves, as often as it is tried again. */
async function askHosted(
  service: URL,
  next: (...behaviours: readonly Behaviour[]) => void,
  trouble: Behaviour,
): Promise<Said> {
  next(trouble, trouble, trouble);
  const body = new FormData();
  body.append("file", new File([await nextPicture()], "a.jpg"));
  const headers = { authorization: `Bearer ${apiKey.key}` };
  const init = { method: "POST", body, headers };
  const response = await fetch(new URL("/vectorize-image-upload", service), init);
  return await saidIn("an answer in trouble", response);
}

async function reload(service: Pick<ServiceProcess, "log" | "signal">): Promise<void> {
  const before = service.log().length;
  service.signal("SIGHUP");
  await until(() => service.log().length > before);
}

function startFake() {
  const fake = startNvidiaFake({ key: nvidiaKey });
  return { ...fake, [Symbol.asyncDispose]: fake.stop };
}

function startChild(command: string[]) {
  const child = Bun.spawn(command);
  return {
    pid: child.pid,
    [Symbol.asyncDispose]: async () => {
      child.kill();
      await child.exited;
    },
  };
}

describe("none of the secrets is said or written by a service that has them", () => {
  const ways = [
    {
      name: "in its environment, with a log of JSON",
      format: "json",
      given: () => ({ NVIDIA_API_KEY: nvidiaKey }),
      last: echo(401),
    },
    {
      name: "in files, with a log of text",
      format: "text",
      given: (folder: string) => ({ NVIDIA_API_KEY_FILE: join(folder, "nvidia_api_key") }),
      last: echo(503),
    },
    {
      name: "as systemd's credentials, with a log for the journal",
      format: "journal",
      given: (folder: string) => ({ CREDENTIALS_DIRECTORY: folder }),
      last: echo(307),
    },
  ];

  test.each(ways)("$name", async ({ format, given, last }) => {
    await using folder = await setUp();
    await using fake = startFake();
    await using proxy = startProxy(fake.url, proxyAccount);
    const imageHeaders: Said[] = [];
    await using images = servePictures(imageHeaders);
    const { written, secret, settings } = folder;
    const stdout = join(written, "stdout");
    const credentials = given(secret);
    await using service = await startProcess(
      {
        ...settings,
        ...credentials,
        ...("CREDENTIALS_DIRECTORY" in credentials
          ? {}
          : { API_KEYS_FILE: join(secret, "api_keys") }),
        LOG_FORMAT: format,
        NVIDIA_BASE_URL: "http://nvidia.invalid",
        HTTPS_PROXY: proxy.url,
        FETCH_ALLOW: "127.0.0.1",
      },
      { command: ["/bin/sh", "-c", `exec bun src/main.ts serve > '${stdout}'`] },
    );
    const [, port] =
      /listening.*?127\.0\.0\.1:(\d+)/s.exec(
        await service.logged(/listening.*?127\.0\.0\.1:\d+[\s\S]*model ready/),
      ) ?? [];
    const url = new URL(`http://127.0.0.1:${port}`);
    const said = await driveRequests(url, images.url);
    expect(proxy.seen.length).toBeGreaterThan(0);
    said.push(...(await saidInCommandLines(service.pid)));
    const troubles = [echo(422), echo(200), misbehave.resetMidBody, misbehave.notJson];
    for (const trouble of troubles) said.push(await askHosted(url, fake.next, trouble));
    said.push(await askHosted(url, proxy.next, echo(407)));
    said.push(await askHosted(url, fake.next, last));
    await Bun.write(join(secret, "nvidia_api_key"), `${nextNvidiaKey}\n`);
    await reload(service);
    said.push(await askHosted(url, fake.next, echo(401)));
    await Bun.write(join(secret, "nvidia_api_key"), `two ${nvidiaKey} words\n`);
    await Bun.write(join(secret, "api_keys"), `phone-app ${apiKey.key}\n`);
    await reload(service);
    said.push(await saidIn("/readyz", await fetch(new URL("/readyz", url))));
    service.signal("SIGTERM");
    await service.exited;
    said.push({ where: "the log", text: service.log() }, ...imageHeaders);
    said.push(...(await saidInFiles(written)));
    expect(service.log()).toContain("request");
    expect(imageHeaders.length).toBeGreaterThan(0);
    expect(findLeaks(said, secrets)).toEqual([]);
  });
});

/** Those that only look or tell. */
const commands = [
  ["--help"],
  ["--version"],
  ["openapi"],
  ["systemd"],
  ["completions", "bash"],
  ["doctor"],
  ["doctor", "--json"],
  ["models", "list"],
  ["keys", "list"],
  ["downloads", "list"],
];

describe("none of the secrets is said or written by a command that is given them", () => {
  test("that only looks or tells", async () => {
    await using folder = await setUp();
    await using fake = startFake();
    await using proxy = startProxy(fake.url, proxyAccount);
    const { written, secret, settings } = folder;
    const environment = {
      ...settings,
      MODELS_DIR: join(written, "models"),
      NVIDIA_API_KEY: nvidiaKey,
      API_KEYS_FILE: join(secret, "api_keys"),
      NVIDIA_BASE_URL: "http://nvidia.invalid",
      HF_ENDPOINT: "http://hub.invalid",
      HTTPS_PROXY: proxy.url,
    };
    const said: Said[] = [];
    for (const argv of commands) {
      const { output, errors } = await runMain(argv, environment);
      expect(output + errors).not.toBe("");
      said.push({ where: argv.join(" "), text: `${output}\n${errors}` });
    }
    said.push(...(await saidInFiles(written)));
    expect(proxy.seen.length).toBeGreaterThan(0);
    expect(findLeaks(said, secrets)).toEqual([]);
  });

  test("that downloads weights from a hub in trouble", async () => {
    await using folder = await setUp();
    await using hub = await startHub(
      new Uint8Array(defaultModel.source.bytes),
      defaultModel.source,
    );
    const { written, settings } = folder;
    const environment = {
      ...settings,
      MODELS_DIR: join(written, "models"),
      HF_ENDPOINT: hub.endpoint,
      HF_HUB_OFFLINE: "false",
      NVIDIA_API_KEY: nvidiaKey,
    };
    const said: Said[] = [];
    const pull = async (what: string): Promise<void> => {
      const { code, output, errors } = await runMain(["models", "pull"], environment);
      expect({ what, code }).toEqual({ what, code: 1 });
      said.push({ where: `models pull: ${what}`, text: `${output}\n${errors}` });
    };
    for (const status of [401, 403, 404]) {
      hub.refusal = { status, headers: { "x-error-message": `Bearer ${hubToken}` } };
      await pull(`the hub answers ${status}`);
    }
    hub.refusal = undefined;
    hub.moods.push({ status: 403 });
    await pull("the file host refuses");
    hub.linkedSha256 = "0".repeat(64);
    await pull("the hub has another file");
    for (const { host, authorization = "", path } of hub.requests) {
      if (host === "hub") expect(authorization).toBe(`Bearer ${hubToken}`);
      else said.push({ where: "a request to the file host", text: `${path} ${authorization}` });
    }
    said.push(...(await saidInFiles(written)));
    expect(findLeaks(said, secrets)).toEqual([]);
  });

  test.each([
    ["NVIDIA_API_KEY", `two ${nvidiaKey} words`],
    ["NVIDIA_BASE_URL", `https://operator:${encodeURIComponent(proxyPassword)}@host`],
    ["HF_ENDPOINT", `https://operator:${encodeURIComponent(proxyPassword)}@host`],
    ["HTTPS_PROXY", `ftp://operator:${encodeURIComponent(proxyPassword)}@host`],
  ])("that refuses %s", async (name, value) => {
    const { code, output, errors } = await runMain(["serve"], { [name]: value });
    expect(code).toBe(2);
    expect(errors).toContain(name);
    expect(findLeaks([{ where: name, text: output + errors }], secrets)).toEqual([]);
  });
});

describe("the search", () => {
  test.each(tracesOf(nvidiaKey).map((trace) => [trace]))("finds the key as %s", (trace) => {
    const said = { where: "here", text: `before ${trace} after` };
    expect(findLeaks([said], secrets)).toEqual(["NVIDIA's key is in here"]);
  });

  test("finds a password in the base64 of a whole header", () => {
    for (const user of ["a", "ab", "abc"]) {
      const text = Buffer.from(`${user}:${proxyPassword}`).toString("base64");
      expect(findLeaks([{ where: "here", text }], secrets)).toHaveLength(1);
    }
  });

  test("is made of everything that a test's service or command says", () => {
    const given = { NVIDIA_API_KEY: nvidiaKey, HTTPS_PROXY: "http://a:l0ng+en0ugh@host" };
    for (const text of [nvidiaKey, btoa("a:l0ng+en0ugh")]) {
      expect(() => refuseLeaks(given, [{ where: "the log", text }])).toThrow("given away");
    }
    refuseLeaks(given, [{ where: "the log", text: "nothing of it" }]);
  });

  test("finds nothing where there is nothing", () => {
    const text = `nvapi- isk_ ${Buffer.from("other words").toString("base64")} phone-app`;
    expect(findLeaks([{ where: "here", text }], secrets)).toEqual([]);
  });

  test("looks into files, their names, and command lines", async () => {
    await using folder = await temporaryFolder();
    await mkdir(join(folder.path, "below"));
    await Bun.write(join(folder.path, "below", "a"), `x${hubToken}`);
    await Bun.write(join(folder.path, `n-${nvidiaKey.replace("/", "")}`), "");
    const files = await saidInFiles(folder.path);
    expect(files).toHaveLength(2);
    expect(findLeaks(files, secrets)).toEqual([
      `the hub's token is in ${join(folder.path, "below", "a")}`,
    ]);
    await using _child = startChild(["sh", "-c", "sleep 60; exit", hubToken]);
    const lines = await saidInCommandLines(process.pid);
    // The shell's own, or that of its child, which has the same until it has become another program.
    expect(findLeaks(lines, secrets).join()).toContain(
      "the hub's token is in the command line of process",
    );
  });
});
