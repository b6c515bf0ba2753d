/** The real Caddy and nginx with the recipes of `docs/reverse-proxy/`, in front of a service. */
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect, type TLSSocket } from "node:tls";
import { type Certificate, makeCertificate } from "./certificate.ts";
import { until } from "./client.ts";
import { repositoryRoot } from "./source-files.ts";

/** The name in both recipes. */
export const siteName = "images.example.com";

export const proxyNames = ["caddy", "nginx"] as const;
export type ProxyName = (typeof proxyNames)[number];

/** What a client got. */
export interface ProxiedAnswer {
  readonly status: number;
  /** Such as `HTTP/2`. */
  readonly protocol: string;
  readonly headers: Headers;
  readonly body: string;
}

export interface ReverseProxy extends AsyncDisposable {
  /** Its origin as browsers see it. */
  readonly origin: string;
  /**
   * Sends a request with curl, over HTTP/2 where nothing else is said.
   *
   * @param options curl's own.
   */
  curl(path: string, ...options: readonly string[]): Promise<ProxiedAnswer>;
  /** A bare TLS connection. */
  connect(): TLSSocket;
}

/** The path of a program that may lie where only administrators look. */
function programPath(name: string): string | null {
  return Bun.which(name, { PATH: `${Bun.env["PATH"]}:/usr/sbin:/usr/local/sbin` });
}

/** Which of the programs that these tests need are not here. */
export function missingPrograms(name: ProxyName): readonly string[] {
  return [name, "curl", "openssl"].filter((one) => programPath(one) === null);
}

/** Starts a proxy in front of a service on loopback, on a free port of loopback, in a folder of its own. */
export async function startReverseProxy(name: ProxyName, service: URL): Promise<ReverseProxy> {
  const folder = await mkdtemp(join(tmpdir(), `imagesvc-${name}-`));
  // nginx's worker is another user where root starts it.
  await chmod(folder, 0o755);
  const certificate = makeCertificate(`DNS:${siteName}`);
  if (certificate === undefined) throw new Error("there is no openssl");
  const port = freePort();
  const command = await writers[name]({ folder, port, upstream: service.host, certificate });
  const child = Bun.spawn(command, {
    cwd: folder,
    env: { HOME: folder, XDG_DATA_HOME: folder, XDG_CONFIG_HOME: folder },
    stdout: "ignore",
    stderr: Bun.file(join(folder, "stderr")),
  });
  const open = () =>
    connect({ host: "127.0.0.1", port, servername: siteName, ca: certificate.cert });
  const stop = async () => {
    child.kill();
    await child.exited;
    await rm(folder, { recursive: true, force: true });
  };
  await until(async () => {
    if (child.exitCode === null) return await answers(open());
    const said = await Bun.file(join(folder, "stderr")).text();
    await stop();
    throw new Error(`${name} ended: ${said}`);
  });
  const origin = `https://${siteName}:${port}`;
  const trust = ["--cacert", join(folder, "cert.pem")];
  const resolve = ["--resolve", `${siteName}:${port}:127.0.0.1`];
  return {
    origin,
    curl: (path, ...options) => curl([...trust, ...resolve, ...options, `${origin}${path}`]),
    connect: open,
    [Symbol.asyncDispose]: stop,
  };
}

interface Place {
  readonly folder: string;
  readonly port: number;
  /** Host and port of the service. */
  readonly upstream: string;
  readonly certificate: Certificate;
}

/** Each writes the recipe with ports, paths and certificate of a test, and returns what starts it. */
const writers: Readonly<Record<ProxyName, (place: Place) => Promise<string[]>>> = {
  caddy: async ({ folder, port, upstream, certificate }) => {
    await writeCertificate(folder, certificate);
    const site = await recipe("Caddyfile", [
      [`${siteName} {`, `${siteName}:${port} {\n\tbind 127.0.0.1\n\ttls cert.pem key.pem`],
      ["127.0.0.1:8000", upstream],
    ]);
    const file = join(folder, "Caddyfile");
    await Bun.write(file, `{\n\tadmin off\n\tauto_https off\n}\n${site}`);
    return [programPath("caddy") ?? "caddy", "run", "--config", file, "--adapter", "caddyfile"];
  },
  nginx: async ({ folder, port, upstream, certificate }) => {
    await writeCertificate(folder, certificate);
    const letsEncrypt = `/etc/letsencrypt/live/${siteName}`;
    const site = await recipe("nginx.conf", [
      ["listen 443 ssl http2;", `listen 127.0.0.1:${port} ssl http2;`],
      ["listen [::]:443 ssl http2;", ""],
      [`${letsEncrypt}/fullchain.pem`, join(folder, "cert.pem")],
      [`${letsEncrypt}/privkey.pem`, join(folder, "key.pem")],
      ["127.0.0.1:8000", upstream],
    ]);
    const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(
      (one) => `${one}_temp_path ${join(folder, one)};`,
    );
    await Bun.write(
      join(folder, "main.conf"),
      `pid ${join(folder, "pid")}; daemon off; master_process off; error_log stderr;
       events {} http { access_log off; ${temporary.join(" ")}\n${site}}`,
    );
    const own = ["-p", folder, "-c", "main.conf", "-e", "stderr"];
    return [programPath("nginx") ?? "nginx", ...own];
  },
};

async function writeCertificate(folder: string, { cert, key }: Certificate): Promise<void> {
  await Bun.write(join(folder, "cert.pem"), cert);
  await Bun.write(join(folder, "key.pem"), key);
}

/** @throws Error if the recipe does not have what is to be replaced. */
async function recipe(
  name: string,
  changes: readonly (readonly [from: string, to: string])[],
): Promise<string> {
  let text = await Bun.file(join(repositoryRoot, "docs/reverse-proxy", name)).text();
  for (const [from, to] of changes) {
    if (!text.includes(from)) throw new Error(`${name} has no ${from}`);
    text = text.replaceAll(from, to);
  }
  return text;
}

/** A port that nobody listens on now; proxies cannot be asked which one they took. */
function freePort(): number {
  const taken = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  taken.stop(true);
  return taken.port;
}

function answers(socket: TLSSocket): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  socket.on("secureConnect", () => resolve(true));
  socket.on("error", () => resolve(false));
  return promise.finally(() => socket.destroy());
}

async function curl(options: readonly string[]): Promise<ProxiedAnswer> {
  const child = Bun.spawn(["curl", "--silent", "--show-error", "--include", ...options], {
    stdout: "pipe",
    stderr: "pipe",
  });
  const [output, errors] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  // 1xx answers come before the one that counts.
  const parts = /^(?:HTTP\/\S+ 1\d\d[\s\S]*?\r\n\r\n)*(HTTP\/\S+) (\d+).*?\r\n([\s\S]*?)\r\n\r\n/;
  const match = parts.exec(output);
  if (match === null) throw new Error(`curl: ${errors}`);
  const [head, protocol = "", status, lines = ""] = match;
  const headers = new Headers(
    lines.split("\r\n").map((line): [string, string] => {
      const colon = line.indexOf(":");
      return [line.slice(0, colon), line.slice(colon + 1).trim()];
    }),
  );
  return { status: Number(status), protocol, headers, body: output.slice(head.length) };
}
