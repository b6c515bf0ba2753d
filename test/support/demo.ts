/**
 * `bun run demo`: the real service with nothing from outside. CLIP runs on synthetic weights, a stand-in
 * answers for NVIDIA, and a small server on this host answers for the web. Its vectors mean nothing.
 */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { parseConfig } from "../../src/config.ts";
import { main } from "../../src/main.ts";
import { startNvidiaFake } from "./nvidia-fake.ts";
import { makePng } from "./pictures.ts";
import { repositoryRoot } from "./source-files.ts";

/** Where the sample picture lies, from the project's folder; ignored by git. */
const picturePath = ".demo/picture.png";
const loopback = "127.0.0.1";

async function runDemo(): Promise<number> {
  process.chdir(repositoryRoot);
  const address = freeAddress();
  if ("fault" in address) {
    process.stderr.write(`demo: ${address.fault}\n`);
    return 1;
  }
  const picture = await makePng({ width: 320, height: 240 });
  await mkdir(".demo", { recursive: true });
  await Bun.write(picturePath, picture);
  await using web = startPictureServer(picture);
  const key = `nvapi-demo-${crypto.randomUUID()}`;
  const nvidia = startNvidiaFake({ key });
  Object.assign(Bun.env, {
    HOST: address.host,
    PORT: String(address.port),
    CLIP_WEIGHTS: "synthetic",
    NVIDIA_API_KEY: key,
    NVIDIA_BASE_URL: nvidia.url,
    // It has its own words for whoever starts it.
    LOG_FORMAT: Bun.env["LOG_FORMAT"] || "text",
    // The stand-ins are on this host, where no proxy could find them.
    HTTPS_PROXY: "",
    FETCH_ALLOW: [Bun.env["FETCH_ALLOW"], web.host].filter(Boolean).join(","),
  });
  const models = join(Bun.env["MODELS_DIR"] || "models", "prepared");
  say(`Synthetic weights are made on first use: 1.7 GB under ${models}, some seconds.`);
  const service = main(["serve"]);
  const isReady = await Promise.race([untilReady(address.url), service.then(() => false)]);
  if (isReady) say(instructions(address.url, web.pictureUrl));
  const code = await service;
  await nvidia.stop();
  return code;
}

/** The address that the service will have, if nobody has it yet. */
function freeAddress() {
  const parsed = parseConfig({ HOST: Bun.env["HOST"] || loopback, PORT: Bun.env["PORT"] });
  if ("faults" in parsed) return { fault: parsed.faults.join("; ") };
  const { HOST: host, PORT: wanted } = parsed.config;
  try {
    const probe = Bun.serve({ hostname: host, port: wanted, fetch: () => new Response() });
    const { port } = probe;
    void probe.stop(true);
    const shown = host === "0.0.0.0" ? "localhost" : host.includes(":") ? `[${host}]` : host;
    return { host, port, url: `http://${shown}:${port}` };
  } catch {
    const fault = `port ${wanted} of ${host} is taken: stop the other program, or choose another with PORT=8001`;
    return { fault };
  }
}

/** A web server with one picture, in the place of the web. */
function startPictureServer(picture: Uint8Array<ArrayBuffer>) {
  const server = Bun.serve({
    hostname: loopback,
    port: 0,
    routes: { "/picture.png": () => new Response(picture) },
    fetch: () => new Response(null, { status: 404 }),
  });
  return {
    host: server.url.host,
    pictureUrl: new URL("/picture.png", server.url).href,
    [Symbol.asyncDispose]: () => server.stop(true),
  };
}

/** Resolves once CLIP serves; NV-DINOv2 does from the start. */
async function untilReady(url: string): Promise<boolean> {
  for (;;) {
    const body = await fetch(`${url}/readyz`)
      .then((response) => response.text())
      .catch(() => "");
    if (body.includes('"id":"clip-ViT-B-32@synthetic","state":"ready"')) return true;
    await Bun.sleep(100);
  }
}

/** What to try, in lines that can be copied into a shell as they stand. */
function instructions(url: string, pictureUrl: string): string {
  return `
The demo is ready. In a browser:  ${url}/

In another terminal, in the project's folder (${picturePath} is a sample picture):

1. CLIP, a picture by URL. The answer's "model" is clip-ViT-B-32@synthetic: the vector means nothing.
   curl ${url}/upload -d 'imageUrl=${pictureUrl}'

2. NV-DINOv2, a picture by URL. Here and below "model" is nv-dinov2@fake: the vector means nothing.
   curl ${url}/vectorize-image -H 'Content-Type: application/json' -d '{"image_url": "${pictureUrl}"}'

3. NV-DINOv2, a picture as base64.
   curl ${url}/vectorize-image-base64 -H 'Content-Type: application/json' -d "{\\"image_base64\\": \\"$(base64 < ${picturePath})\\", \\"filename\\": \\"picture.png\\"}"

4. NV-DINOv2, a picture as an upload.
   curl ${url}/vectorize-image-upload -F 'file=@${picturePath}'

Pictures on the Internet work too, where this host reaches it. The last three requests keep what they
get in downloads/. Each takes ?model=clip-ViT-B-32 or ?model=nv-dinov2.
Ctrl-C stops everything.
`;
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

if (import.meta.main) process.exit(await runDemo());
