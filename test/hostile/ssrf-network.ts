/**
 * A service in a network of its own, with hosts that look public and hosts that nobody may reach. Runs as a
 * process inside network and mount namespaces, tries every scenario, and prints what came of it as JSON.
 */
import { writeFileSync } from "node:fs";
import { postJson, until } from "../support/client.ts";
import { startDnsServer } from "../support/dns-server.ts";
import { startNvidiaFake } from "../support/nvidia-fake.ts";
import { type Origin, redirect, respond, startOrigin } from "../support/origin.ts";
import { makePng } from "../support/pictures.ts";
import { startProcess } from "../support/process.ts";
import {
  allowedAddress,
  bracketed,
  malformedUrls,
  privateAddresses,
  publicAddresses,
  redirects,
  scenarios,
  spellings,
  zone,
} from "./ssrf-scenarios.ts";

/** What came of one URL. */
export interface Trial {
  readonly url: string;
  readonly status: number;
  /** The problem's code, or `ok`. */
  readonly outcome: string;
  /** Who was connected to and should not have been. */
  readonly trespasses: readonly string[];
}

export interface Report {
  readonly scenarios: readonly Trial[];
  readonly spellings: readonly Trial[];
  /** While look-ups of 50 names hang: of one that answers, and how many of the 50 had ended by then. */
  readonly amidSilence: Trial & { readonly ended: number };
  readonly silentOutcomes: readonly string[];
  readonly withoutNameServer: Trial;
  /** Once `resolv.conf` names another server. */
  readonly afterMove: Trial;
}

const [, , resolvFile = ""] = Bun.argv;
const nameServers = ["127.0.0.53", "127.0.0.54"] as const;

for (const address of [...publicAddresses, ...privateAddresses, allowedAddress]) {
  const isLoopback = address.startsWith("127.") || address === "::1";
  if (!isLoopback)
    ip("addr", "add", address, "dev", "lo", ...(address.includes(":") ? ["nodad"] : []));
}
ip("addr", "add", nameServers[0], "dev", "lo");

function ip(...args: readonly string[]): void {
  const { success, stderr } = Bun.spawnSync(["ip", ...args], { stderr: "pipe" });
  if (!success && !/File exists/.test(`${stderr}`))
    throw new Error(`ip ${args.join(" ")}: ${stderr}`);
}

const picture = { "/picture.png": respond({ body: await makePng() }) };
const answers = Object.entries(redirects).map(([path, location]) => [path, redirect(location)]);
for (const hostname of [...publicAddresses, allowedAddress]) {
  await startOrigin({ ...picture, ...Object.fromEntries(answers) }, { hostname, port: 80 });
}
const forbidden = new Map<string, Origin>();
for (const [hostname, port] of [
  ...privateAddresses.flatMap(
    (address) =>
      [
        [address, 80],
        [address, 443],
      ] as const,
  ),
  ...publicAddresses.flatMap(
    (address) =>
      [
        [address, 22],
        [address, 8080],
      ] as const,
  ),
  [allowedAddress, 22] as const,
]) {
  forbidden.set(`${bracketed(hostname)}:${port}`, await startOrigin(picture, { hostname, port }));
}

const nvidia = startNvidiaFake();
let names = await startDnsServer(nameServers[0], zone);
await using service = await startProcess({
  CLIP_WEIGHTS: "openai",
  DOWNLOADS_KEEP: "false",
  FETCH_ALLOW: "nas.test:80",
  FETCH_TIMEOUT_MS: "2000",
  NVIDIA_API_KEY: "nvapi-fake",
  NVIDIA_BASE_URL: nvidia.url.replace("127.0.0.1", "nvidia.test"),
  QUEUE_LIMIT: "300",
});
const at = { url: await service.url() };

async function fetchImage(url: string): Promise<Trial> {
  const before = new Map([...forbidden].map(([name, origin]) => [name, origin.connections()]));
  const response = await postJson(at, "/vectorize-image?model=nv-dinov2", { image_url: url });
  const { code = "ok" } = JSON.parse(await response.text());
  const reached = [...forbidden].filter(([name, host]) => host.connections() !== before.get(name));
  const trespasses = reached.map(([name]) => name);
  return { url, status: response.status, outcome: String(code), trespasses };
}

async function fetchEach(urls: readonly string[]): Promise<Trial[]> {
  const trials: Trial[] = [];
  for (const url of urls) trials.push(await fetchImage(url));
  return trials;
}

async function fetchAmidSilence(): Promise<Pick<Report, "amidSilence" | "silentOutcomes">> {
  let ended = 0;
  const silent = Array.from({ length: 50 }, async (_, index) => {
    const trial = await fetchImage(`http://${index}.silent.test/`);
    ended += 1;
    return trial.outcome;
  });
  await Promise.race([until(() => names.asked("49.silent.test")), Promise.all(silent)]);
  const trial = await fetchImage("http://amid-silence.test/picture.png");
  return { amidSilence: { ...trial, ended }, silentOutcomes: await Promise.all(silent) };
}

const tried = {
  scenarios: await fetchEach(scenarios.map(({ url }) => url)),
  spellings: await fetchEach([...spellings, ...malformedUrls]),
  ...(await fetchAmidSilence()),
};
await names[Symbol.asyncDispose]();
const withoutNameServer = await fetchImage("http://other.test/picture.png");
names = await startDnsServer(nameServers[1], zone);
writeFileSync(resolvFile, `nameserver ${nameServers[1]}\n`);
const afterMove = await fetchImage("http://other.test/picture.png");
const report: Report = { ...tried, withoutNameServer, afterMove };
process.stdout.write(JSON.stringify(report));
service.signal("SIGTERM");
await service.exited;
process.exit(0);
