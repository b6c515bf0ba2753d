/** What `doctor` says of the machine: processor, memory, limits, libraries. */
import { describe, expect, test } from "bun:test";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { type Check, type Finding, ok, runCheck } from "../../src/cli/checks/check.ts";
import {
  glibcCheck,
  libstdcxxCheck,
  nativeLibrariesCheck,
  neededVersions,
  newestVersions,
} from "../../src/cli/checks/libraries.ts";
import {
  coresCheck,
  descriptorsCheck,
  memoryCheck,
  procCheck,
  processorCheck,
} from "../../src/cli/checks/machine.ts";
import { settingsChecks, umaskCheck, variablesCheck } from "../../src/cli/checks/variables.ts";
import { coresQuota, memoryLimitBytes, usableCores } from "../../src/native/cgroup.ts";
import { glibcVersion, readLibstdcxx } from "../../src/native/host-libraries.ts";
import { leftOut } from "../support/left-out.ts";
import { repositoryRoot } from "../support/source-files.ts";

const never = new AbortController().signal;

async function statusOf(check: Check): Promise<string> {
  return (await runCheck(check, never)).status;
}

/** A host whose files are these. */
function host(files: Readonly<Record<string, string>>) {
  return (path: string) => files[path];
}

describe("a check that misbehaves harms nobody", () => {
  const failed = (found: string): Finding => expect.objectContaining({ status: "fail", found });

  test("one that throws has failed, and says what it threw", async () => {
    const broken = () => {
      throw new Error("no such thing");
    };
    expect(await runCheck({ name: "x", run: broken }, never)).toEqual(failed("no such thing"));
  });

  test("one that hangs has failed at its deadline, and hears of it", async () => {
    const heard = Promise.withResolvers<void>();
    const hanging = (signal: AbortSignal) => {
      signal.addEventListener("abort", () => heard.resolve());
      return new Promise<Finding>(() => {});
    };
    const finding = await runCheck({ name: "x", timeoutMs: 1, run: hanging }, never);
    expect(finding).toEqual(failed("no answer within 0.001 s"));
    await heard.promise;
  });

  test("one hears that the user interrupts", async () => {
    const run = (signal: AbortSignal) => ok(String(signal.aborted));
    expect(await runCheck({ name: "x", run }, AbortSignal.abort())).toEqual(ok("true"));
  });
});

test("every faulty setting is a failure, none is one line", async () => {
  expect(await Promise.all(settingsChecks([]).map(statusOf))).toEqual(["ok"]);
  expect(await Promise.all(settingsChecks(["PORT …", "HOST …"]).map(statusOf))).toEqual([
    "fail",
    "fail",
  ]);
});

test("variables that change the runtime are warned of by name, never by value", async () => {
  const environment = { BUN_OPTIONS: "--secret", LD_PRELOAD: "", ORT_DISABLE_TELEMETRY: "1" };
  const finding = await runCheck(variablesCheck(environment), never);
  expect(finding.status).toBe("warn");
  expect(finding.found).toStartWith("BUN_OPTIONS set");
  expect(JSON.stringify(finding)).not.toContain("--secret");
  expect(await statusOf(variablesCheck({ PATH: "/bin", LD_PRELOAD: "" }))).toBe("ok");
});

test.each([
  [["avx2"], "x64", "ok"],
  [[], "x64", "warn"],
  [[], "arm64", "ok"],
] as const)("a processor with %p on %s is %s", async (features, architecture, status) => {
  expect(await statusOf(processorCheck(async () => features, architecture))).toBe(status);
});

test.each([
  [0o022, "ok"],
  [0o077, "ok"],
  [0o277, "fail"],
])("the umask %o is %s", async (umask, status) => {
  expect(await statusOf(umaskCheck(umask))).toBe(status);
});

describe("control groups", () => {
  const v2 = host({
    "/proc/self/cgroup": "0::/system.slice/imagesvc.service\n",
    "/sys/fs/cgroup/system.slice/imagesvc.service/memory.max": "max\n",
    "/sys/fs/cgroup/system.slice/memory.max": "2000000000\n",
    "/sys/fs/cgroup/system.slice/imagesvc.service/cpu.max": "150000 100000\n",
    "/sys/fs/cgroup/system.slice/cpu.max": "max 100000\n",
  });
  const v1 = host({
    "/proc/self/cgroup": "4:memory:/docker/1\n2:cpu,cpuacct:/docker/1\n0::/\n",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes": "500000000\n",
    "/sys/fs/cgroup/cpu/docker/1/cpu.cfs_quota_us": "50000\n",
    "/sys/fs/cgroup/cpu/docker/1/cpu.cfs_period_us": "100000\n",
    "/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
    "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
  });
  const container = host({
    "/proc/self/cgroup": "0::/\n",
    "/sys/fs/cgroup/memory.max": "1000\n",
    "/sys/fs/cgroup/cpu.max": "200000 100000\n",
  });

  test("the least limit on the way up counts, in either version", () => {
    expect([v2, v1, container].map(memoryLimitBytes)).toEqual([2_000_000_000, 500_000_000, 1000]);
    expect([v2, v1, container].map(coresQuota)).toEqual([1.5, 0.5, 2]);
  });

  test("without any there is no limit", () => {
    expect(memoryLimitBytes(host({}))).toBeUndefined();
    expect(coresQuota(host({ "/proc/self/cgroup": "0::/\n" }))).toBeUndefined();
  });

  test("whole cores of the least quota are kept busy, one at least", () => {
    const quotaOf = (max: string) =>
      host({ "/proc/self/cgroup": "0::/a\n", "/sys/fs/cgroup/a/cpu.max": max });
    expect(usableCores(v2, 8)).toBe(1);
    expect(usableCores(quotaOf("250000 100000\n"), 8)).toBe(2);
    expect(usableCores(quotaOf("250000 100000\n"), 1)).toBe(1);
    expect(usableCores(quotaOf("50000 100000\n"), 8)).toBe(1);
    expect(usableCores(quotaOf("max 100000\n"), 8)).toBe(8);
    expect(usableCores(host({}), 8)).toBe(8);
  });

  test("a group of the first version whose name has colons is found", () => {
    const read = host({
      "/proc/self/cgroup": "4:cpu,cpuacct:/pods.slice:cri-containerd:0af1\n",
      "/sys/fs/cgroup/cpu/pods.slice:cri-containerd:0af1/cpu.cfs_quota_us": "300000\n",
      "/sys/fs/cgroup/cpu/pods.slice:cri-containerd:0af1/cpu.cfs_period_us": "100000\n",
    });
    expect(coresQuota(read)).toBe(3);
  });

  test("a quota is told of, and warned of where it is less than a core", async () => {
    const { status, found } = await runCheck(coresCheck(v2, 1, 1), never);
    expect(status).toBe("ok");
    expect(found).toContain("grants the time of 1.5");
    const half = host({
      "/proc/self/cgroup": "0::/\n",
      "/sys/fs/cgroup/cpu.max": "50000 100000\n",
    });
    expect(await statusOf(coresCheck(half, 1, 1))).toBe("warn");
    expect(await statusOf(coresCheck(host({}), 8, 4))).toBe("ok");
  });
});

describe("memory", () => {
  const meminfo = (totalKb: number, availableKb: number) =>
    `MemTotal:       ${totalKb} kB\nMemFree:   1 kB\nMemAvailable:   ${availableKb} kB\n`;

  test.each([
    [8_000_000, 4_000_000, "ok"],
    [8_000_000, 400_000, "warn"],
    [500_000, 400_000, "fail"],
  ])("of %p kB %p kB available is %s", async (total, available, status) => {
    const read = host({ "/proc/meminfo": meminfo(total, available) });
    expect(await statusOf(memoryCheck(read, 1))).toBe(status);
  });

  test("a control group's limit counts as all there is", async () => {
    const read = host({
      "/proc/meminfo": meminfo(8_000_000, 4_000_000),
      "/proc/self/cgroup": "0::/\n",
      "/sys/fs/cgroup/memory.max": "600000000\n",
    });
    expect(await statusOf(memoryCheck(read, 1))).toBe("fail");
  });

  test("each worker wants its own", async () => {
    const read = host({ "/proc/meminfo": meminfo(1_000_000, 900_000) });
    expect(await statusOf(memoryCheck(read, 1))).toBe("ok");
    expect(await statusOf(memoryCheck(read, 2))).toBe("fail");
  });
});

test.each([
  ["Max open files            1024                 524288               files", "warn"],
  ["Max open files            4096                 524288               files", "ok"],
  ["Max open files            unlimited            unlimited            files", "ok"],
  ["", "warn"],
])("the limit %p is %s", async (limits, status) => {
  expect(await statusOf(descriptorsCheck(host({ "/proc/self/limits": limits })))).toBe(status);
});

test("/proc is there or not", async () => {
  expect(await statusOf(procCheck(host({ "/proc/self/maps": "00400000-" })))).toBe("ok");
  expect(await statusOf(procCheck(host({})))).toBe("fail");
});

describe("the host's C and C++ libraries", () => {
  const versions = (text: string) => async () => Buffer.from(`\0${text.replaceAll(" ", "\0")}\0`);
  const none = { glibcVersion: () => undefined, libstdcxx: async () => undefined };

  test("those of this host are good enough: the tests run on them", async () => {
    const real = { glibcVersion, libstdcxx: readLibstdcxx };
    expect(await statusOf(glibcCheck(real))).toBe("ok");
    expect(await statusOf(libstdcxxCheck(real))).toBe("ok");
  });

  test.each([
    ["2.28", "ok"],
    ["2.36", "ok"],
    ["3.0", "ok"],
    ["2.5", "fail"],
    ["2.27", "fail"],
  ])("glibc %s is %s", async (version, status) => {
    expect(await statusOf(glibcCheck({ ...none, glibcVersion: () => version }))).toBe(status);
  });

  test.each([
    ["GLIBCXX_3.4 GLIBCXX_3.4.9 GLIBCXX_3.4.22 CXXABI_1.3.11", "ok"],
    ["GLIBCXX_3.4.9 GLIBCXX_3.4.21 CXXABI_1.3.11", "fail"],
    ["GLIBCXX_3.4.30 CXXABI_1.3.9", "fail"],
    ["no versions", "fail"],
  ])("a libstdc++ with %s is %s", async (text, status) => {
    expect(await statusOf(libstdcxxCheck({ ...none, libstdcxx: versions(text) }))).toBe(status);
  });

  test("a host without them is told what to install", async () => {
    expect(await statusOf(glibcCheck(none))).toBe("fail");
    expect((await runCheck(libstdcxxCheck(none), never)).mend).toContain("libstdc++6");
  });

  test("what is needed is what the native libraries ask for", async () => {
    if (process.arch !== "x64") return leftOut("symbol versions of another architecture");
    const modules = join(repositoryRoot, "node_modules");
    const folders = ["onnxruntime-node/bin/napi-v6/linux/x64", "@img/sharp-linux-x64/lib"];
    const libraries: string[] = [];
    for (const folder of [...folders, "@img/sharp-libvips-linux-x64/lib"]) {
      const names = await readdir(join(modules, folder));
      const native = names.filter((name) => /\.(node|so\.[\d.]+)$/.test(name));
      expect(native.length).toBeGreaterThan(0);
      libraries.push(...native.map((name) => join(modules, folder, name)));
    }
    const all = Buffer.concat(await Promise.all(libraries.map((path) => Bun.file(path).bytes())));
    expect(newestVersions(all, Object.keys(neededVersions))).toEqual(neededVersions);
  });
});

test("native libraries that do not load fail with the loader's sentence", async () => {
  expect(
    await runCheck(
      nativeLibrariesCheck(() => "from memory"),
      never,
    ),
  ).toEqual(ok("from memory"));
  const refused = () => {
    throw new Error("memfd_create is refused here");
  };
  expect(await runCheck(nativeLibrariesCheck(refused), never)).toMatchObject({
    status: "fail",
    found: "memfd_create is refused here",
  });
});
