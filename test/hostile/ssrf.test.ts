/** Whether a stranger reaches the inside of the network: real sockets and name servers, in a network of their own. */
import { beforeAll, describe, expect, test } from "bun:test";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { leftOut } from "../support/left-out.ts";
import { temporaryFolder } from "../support/tiny-clip.ts";
import type { Report } from "./ssrf-network.ts";
import { hostsFile, malformedUrls, scenarios, spellings } from "./ssrf-scenarios.ts";

const asRoot = process.getuid?.() === 0 ? [] : ["--map-root-user"];
const unshare = ["unshare", ...asRoot, "--net", "--mount"];

/** Whether this process may make a network of its own. */
function mayIsolate(): boolean {
  if (Bun.which("unshare") === null || Bun.which("ip") === null) return false;
  return Bun.spawnSync([...unshare, "ip", "link", "set", "lo", "up"]).success;
}

/** Runs the service in a network without a way out, with its own name server. */
async function runIsolated(): Promise<Report> {
  await using folder = await temporaryFolder();
  const [resolvFile, hosts] = [join(folder.path, "resolv.conf"), join(folder.path, "hosts")];
  await writeFile(resolvFile, "nameserver 127.0.0.53\n");
  await writeFile(hosts, hostsFile);
  const script = `mount --make-rprivate /
    mount --bind "$1" /etc/resolv.conf
    mount --bind "$2" /etc/hosts
    ip link set lo up
    exec "$3" "$4" "$1"`;
  const network = join(import.meta.dir, "ssrf-network.ts");
  const child = Bun.spawn(
    [...unshare, "sh", "-ec", script, "sh", resolvFile, hosts, process.execPath, network],
    { stdout: "pipe", stderr: "pipe" },
  );
  const [text, errors] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  if ((await child.exited) !== 0) throw new Error(errors);
  return JSON.parse(text);
}

function titleOf(url: string): string {
  return JSON.stringify(url.slice(0, 80));
}

if (mayIsolate()) {
  describe("a stranger's URL", tryEverything);
} else {
  test("a stranger's URL leads nowhere inside", () => {
    leftOut("real networks for image URLs: needs unshare and ip, and the right to use them");
  });
}

function tryEverything(): void {
  let report: Report;

  beforeAll(async () => {
    report = await runIsolated();
  }, 60_000);

  for (const [index, { url, outcome }] of scenarios.entries()) {
    test(`is ${outcome}, and nobody inside hears of it: ${index}. ${titleOf(url)}`, () => {
      expect(report.scenarios[index]).toMatchObject({ url, outcome, trespasses: [] });
    });
  }

  for (const [index, url] of [...spellings, ...malformedUrls].entries()) {
    test(`is refused however it is spelled, and nobody inside hears of it: ${titleOf(url)}`, () => {
      const trial = report.spellings[index];
      expect(trial).toMatchObject({ url, trespasses: [] });
      expect([400, 403]).toContain(trial?.status ?? 0);
    });
  }

  test("is served while the name servers of fifty others are silent", () => {
    expect(report.amidSilence).toMatchObject({ outcome: "ok", ended: 0 });
    expect(new Set(report.silentOutcomes)).toEqual(new Set(["origin-timeout"]));
  });

  test("is refused in a sentence where there is no name server, and served once there is another", () => {
    expect(report.withoutNameServer).toMatchObject({ status: 502, outcome: "origin-error" });
    expect(report.afterMove).toMatchObject({ status: 200, outcome: "ok" });
  });
}
