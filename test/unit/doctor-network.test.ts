/** What `doctor` says of keys, the address to listen on, other hosts and the clock. */
import { describe, expect, test } from "bun:test";
import { createServer } from "node:net";
import { hostCheck, portCheck } from "../../src/cli/checks/address.ts";
import { type Check, runCheck, type Status } from "../../src/cli/checks/check.ts";
import { networkChecks } from "../../src/cli/checks/network.ts";
import { secretsChecks } from "../../src/cli/checks/secrets.ts";
import type { ApiKeyNames } from "../../src/store/api-keys.ts";
import { CredentialsError } from "../../src/store/credentials.ts";

const never = new AbortController().signal;
const findingOf = (check: Check) => runCheck(check, never);

/** The findings of checks, by name. */
async function findingsOf(checks: readonly Check[]) {
  const entries = checks.map(async (check) => [check.name, await findingOf(check)] as const);
  return Object.fromEntries(await Promise.all(entries));
}

describe("keys", () => {
  const good = `nvapi-${"aB3_-".repeat(13)}`;

  function keyFinding(key: string | undefined, isNvidia = true) {
    const secrets = { nvidiaApiKey: () => key, apiKeys: () => undefined };
    return findingsOf(secretsChecks(() => secrets, isNvidia)).then((all) => all["NVIDIA key"]);
  }

  test.each<[string | undefined, Status]>([
    [undefined, "warn"],
    [good, "ok"],
    [`"${good}"`, "fail"],
    [`${good.slice(0, 20)}\n${good.slice(20)}`, "fail"],
    [`${good} ${good}`, "fail"],
    [`${good}é`, "fail"],
    [`${good}=`, "fail"],
    [good.slice(6), "fail"],
    [good.slice(0, 20), "fail"],
    ["nvapi-", "fail"],
  ])("NVIDIA's %p is %s", async (key, status) => {
    const finding = await keyFinding(key);
    expect(finding?.status).toBe(status);
    if (key === undefined) return;
    expect(JSON.stringify(finding)).not.toContain(key.slice(-12));
    // Not its length either.
    expect(JSON.stringify(finding)).not.toMatch(/\d/);
  });

  test("another host's key may have another form", async () => {
    expect((await keyFinding("token", false))?.status).toBe("ok");
    expect((await keyFinding('"token"', false))?.status).toBe("fail");
  });

  test.each<[ApiKeyNames | undefined, Status]>([
    [undefined, "warn"],
    [new Map(), "warn"],
    [new Map([["00", "ada"]]), "ok"],
  ])("API keys %p are %s", async (keys, status) => {
    const secrets = { nvidiaApiKey: () => undefined, apiKeys: () => keys };
    const findings = await findingsOf(secretsChecks(() => secrets, true));
    expect(findings["API keys"]?.status).toBe(status);
  });

  test("a file that cannot be read is one failure, and the other key is looked at", async () => {
    const secrets = { nvidiaApiKey: () => good, apiKeys: () => undefined };
    const open = () => {
      throw new CredentialsError({ apiKeys: "API_KEYS_FILE cannot be read" }, secrets);
    };
    expect(await findingsOf(secretsChecks(open, true))).toMatchObject({
      "NVIDIA key": { status: "ok" },
      "API keys": { status: "fail", found: "API_KEYS_FILE cannot be read" },
    });
  });
});

describe("the address", () => {
  const alone = { host: "127.0.0.1", findListener: () => undefined };

  async function takenPort() {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen({ host: "127.0.0.1", port: 0 }, resolve));
    const address = server.address();
    if (address === null || typeof address === "string") throw new Error("no port");
    return { port: address.port, [Symbol.dispose]: () => server.close() };
  }

  test.each<[string, Status]>([
    ["127.0.0.1", "ok"],
    ["localhost", "ok"],
    ["0.0.0.0", "ok"],
    ["192.0.2.1", "fail"],
    ["not a host", "fail"],
  ])("%s is %s", async (host, status) => {
    expect((await findingOf(hostCheck({ host }))).status).toBe(status);
  });

  test("a free port is ok, and free again afterwards", async () => {
    const { port, ...server } = await takenPort();
    server[Symbol.dispose]();
    expect((await findingOf(portCheck({ ...alone, port }))).status).toBe("ok");
    expect((await findingOf(portCheck({ ...alone, port }))).status).toBe("ok");
    expect((await findingOf(portCheck({ ...alone, port: 0 }))).status).toBe("ok");
  });

  test("a port that is taken says by whom, where that is known", async () => {
    using taken = await takenPort();
    const { port } = taken;
    const by = (name: string) => ({ ...alone, port, findListener: () => ({ name, pid: 7 }) });
    expect(await findingOf(portCheck(by("nginx")))).toMatchObject({
      status: "fail",
      found: `${port} is taken by nginx (process 7)`,
    });
    expect(await findingOf(portCheck({ ...alone, port }))).toMatchObject({
      status: "fail",
      found: `${port} is taken by another program`,
    });
    expect((await findingOf(portCheck(by("imagesvc")))).status).toBe("warn");
  });
});

const today = new Date("2030-05-05T12:00:00Z");

interface World {
  readonly contacts?: readonly { readonly name: string; readonly origin: URL }[];
  readonly proxy?: string;
  readonly noProxy?: string;
  /** What the hosts say of the time; undefined where none answers. */
  readonly date?: string;
  readonly at?: Date;
  readonly failure?: Error;
}

function checksIn({ at, date, failure = new Error("unreachable"), ...world }: World) {
  const asked: string[] = [];
  const checks = networkChecks({
    contacts: [{ name: "NVIDIA", origin: new URL("https://nvidia.example") }],
    proxy: "",
    noProxy: "",
    lookUp: async (hostname) => {
      asked.push(hostname);
      if (date === undefined) throw new Error("ENOTFOUND");
    },
    askForHead: async (url, proxy) => {
      asked.push(`${url.origin} by ${proxy}`);
      if (date === undefined) throw failure;
      return new Response(null, { status: 404, headers: { date } });
    },
    now: () => at ?? today,
    ...world,
  });
  return { asked, checks };
}

describe("other hosts", () => {
  test("that answer are ok, whatever they answer, and are asked once", async () => {
    const { asked, checks } = checksIn({ date: today.toUTCString() });
    const findings = await findingsOf(checks);
    expect(Object.values(findings).map(({ status }) => status)).toEqual(["ok", "ok", "ok"]);
    expect(asked.sort()).toEqual(["https://nvidia.example by undefined", "nvidia.example"]);
  });

  test("that do not are warnings, for what is here works without", async () => {
    const findings = await findingsOf(checksIn({}).checks);
    expect(findings).toMatchObject({
      "name look-up": { status: "warn" },
      "reach NVIDIA": { status: "warn" },
      clock: { status: "ok" },
    });
  });

  test("whose certificate is refused point to the clock", async () => {
    const failure = Object.assign(new Error("expired"), { code: "CERT_HAS_EXPIRED" });
    const findings = await findingsOf(checksIn({ failure }).checks);
    expect(findings["reach NVIDIA"]?.mend).toContain("clock");
  });

  test("are asked through the proxy, whose name is looked up instead", async () => {
    const contacts = ["https://nvidia.example", "https://inside.example"].map((origin) => ({
      name: origin,
      origin: new URL(origin),
    }));
    const proxy = "http://ada:secret@proxy.example:3128";
    const world = { contacts, proxy, noProxy: "inside.example", date: today.toUTCString() };
    const { asked, checks } = checksIn(world);
    const findings = await findingsOf(checks);
    expect(asked.sort()).toEqual([
      "https://inside.example by undefined",
      `https://nvidia.example by ${proxy}`,
      "inside.example",
      "proxy.example",
    ]);
    expect(JSON.stringify(findings)).not.toContain("secret");
  });

  test.each<[string, Status]>([
    ["2030-05-05T12:04:00Z", "ok"],
    ["2030-05-05T12:06:00Z", "fail"],
    ["2030-05-05T11:50:00Z", "fail"],
    ["1970-01-01T00:00:00Z", "fail"],
  ])("a clock at %s is %s where others say it is noon", async (now, status) => {
    const world = { date: today.toUTCString(), at: new Date(now) };
    expect((await findingsOf(checksIn(world).checks))["clock"]?.status).toBe(status);
  });

  test("a clock before this was written is wrong, whoever answers", async () => {
    const findings = await findingsOf(checksIn({ at: new Date(0) }).checks);
    expect(findings["clock"]?.status).toBe("fail");
  });

  test("a host that gives no date says nothing of the clock", async () => {
    const findings = await findingsOf(checksIn({ date: "soon" }).checks);
    expect(findings["clock"]).toMatchObject({ status: "ok" });
  });
});
