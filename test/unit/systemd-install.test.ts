import { afterEach, beforeEach, expect, test } from "bun:test";
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runProgram } from "../../src/cli/systemd.ts";
import { type Host, installUnit } from "../../src/cli/systemd-install.ts";
import { type UnitOptions, unitText } from "../../src/cli/systemd-unit.ts";

const plain: UnitOptions = {
  executable: "/bin/true",
  user: undefined,
  group: undefined,
  workingDirectory: undefined,
  flags: {},
};

const original = `[Unit]
Description=FastAPI Image Service

[Service]
User=ec2-user
WorkingDirectory=/home/ec2-user/demo/vector-embedding
Environment="NVIDIA_API_KEY=nvapi-hunter2" "WEB_CONCURRENCY=2"
Restart=always
`;

/** A systemctl that writes down its calls and knows one service, which starts unless it is broken. */
const fakeSystemctl = `#!/bin/sh
echo "$@" >>"$FAKES/calls"
case $1 in
  is-active) [ "$2" = --quiet ] || cat "$FAKES/state"; grep -qx active "$FAKES/state" ;;
  start | restart) [ ! -e "$FAKES/broken" ] && echo active >"$FAKES/state" ;;
esac
`;
const fakeJournalctl = `#!/bin/sh\necho "PORT is \\"eighty\\": it must be a whole number"\n`;
const fakeGetent = `#!/bin/sh\n[ "$2" = ec2-user ]\n`;

let root: string;
let told: string[];
let host: Host;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "imagesvc-install-"));
  told = [];
  const programs = { systemctl: fakeSystemctl, journalctl: fakeJournalctl, getent: fakeGetent };
  for (const [name, text] of Object.entries(programs)) {
    await Bun.write(join(root, "bin", name), text);
    await chmod(join(root, "bin", name), 0o755);
  }
  await Bun.write(join(root, "state"), "inactive\n");
  await mkdir(join(root, "units"));
  host = {
    unitFolder: join(root, "units"),
    settingsFolder: join(root, "settings"),
    isRoot: true,
    runsSystemd: true,
    now: () => new Date("2026-01-02T03:04:05.678Z"),
    run: (command) =>
      runProgram(command, { PATH: `${join(root, "bin")}:/usr/bin:/bin`, FAKES: root }),
    tell: (line) => told.push(line),
  };
});

afterEach(() => rm(root, { recursive: true }));

const inUnits = (name: string) => join(root, "units", name);
const readUnit = () => readFile(inUnits("imagesvc.service"), "utf8");
const writeUnit = (text: string) => Bun.write(inUnits("imagesvc.service"), text);
const calls = () => readFile(join(root, "calls"), "utf8").catch(() => "");
const modeOf = async (path: string) => ((await stat(path)).mode & 0o777).toString(8);

test("a new unit is written, read, enabled and started, each step told", async () => {
  expect(await installUnit(plain, false, host)).toBe(true);
  expect(await readUnit()).toBe(unitText(plain));
  expect(await modeOf(inUnits("imagesvc.service"))).toBe("644");
  expect((await calls()).split("\n").filter((line) => !line.startsWith("is-"))).toEqual([
    "daemon-reload",
    "enable imagesvc.service",
    "start imagesvc.service",
    "",
  ]);
  expect(told.join("\n")).toMatch(/Written: .*daemon-reload.*enable.*start.*It runs/s);
  expect(await readdir(join(root, "units"))).toEqual(["imagesvc.service"]);
});

test("the same unit is left alone, and a service that runs too", async () => {
  await installUnit(plain, false, host);
  await rm(join(root, "calls"));
  expect(await installUnit(plain, false, host)).toBe(true);
  expect(await calls()).not.toMatch(/^(re)?start/m);
  expect(told.join("\n")).toContain("the same");
});

test("the same unit of a service that does not run is started", async () => {
  await writeUnit(unitText(plain));
  expect(await installUnit(plain, false, host)).toBe(true);
  expect(await calls()).toMatch(/^start imagesvc.service$/m);
});

test("another unit is shown as a diff without its secrets, and not touched", async () => {
  await writeUnit(original);
  expect(await installUnit(plain, false, host)).toBe(false);
  expect(await readUnit()).toBe(original);
  expect(await calls()).toBe("");
  expect(await readdir(root)).not.toContain("settings");
  const text = told.join("\n");
  expect(text).toContain("- Environment=NVIDIA_API_KEY=*** WEB_CONCURRENCY=***");
  expect(text).toContain("+ DynamicUser=yes");
  expect(text).toContain("  Restart=always");
  expect(text).toContain(
    "add: --user ec2-user --working-directory /home/ec2-user/demo/vector-embedding",
  );
  expect(text).toContain("--force");
  expect(text).not.toContain("hunter2");
});

test("with --force it is replaced, backed up, its key carried over, and the service restarted", async () => {
  await writeUnit(original);
  await Bun.write(join(root, "state"), "active\n");
  expect(await installUnit(plain, true, host)).toBe(true);
  expect(await readUnit()).toBe(unitText(plain));
  const backup = inUnits("imagesvc.service.bak-20260102T030405Z");
  expect(await readFile(backup, "utf8")).toBe(original);
  expect(await modeOf(backup)).toBe("600");
  const key = join(root, "settings/nvidia_api_key");
  expect(await readFile(key, "utf8")).toBe("nvapi-hunter2\n");
  expect(await modeOf(key)).toBe("600");
  expect(await calls()).toMatch(/^restart imagesvc.service$/m);
  expect(told.join("\n")).toContain("Not carried over: WEB_CONCURRENCY.");
  expect(told.join("\n")).not.toContain("hunter2");
});

test("a key that is in its file already stays", async () => {
  await writeUnit(original);
  await Bun.write(join(root, "settings/nvidia_api_key"), "nvapi-newer\n");
  expect(await installUnit(plain, true, host)).toBe(true);
  expect(await readFile(join(root, "settings/nvidia_api_key"), "utf8")).toBe("nvapi-newer\n");
  expect(told.join("\n")).toContain("holds a key already");
});

test("a link that masks the service is replaced, and what it leads to left alone", async () => {
  await Bun.write(join(root, "elsewhere"), "");
  await symlink(join(root, "elsewhere"), inUnits("imagesvc.service"));
  expect(await installUnit(plain, true, host)).toBe(true);
  expect(await readUnit()).toBe(unitText(plain));
  expect(await Bun.file(join(root, "elsewhere")).text()).toBe("");
});

test("a service that does not start shows the end of its log", async () => {
  await Bun.write(join(root, "broken"), "");
  expect(await installUnit(plain, false, host)).toBe(false);
  expect(told.join("\n")).toMatch(/did not start \(inactive\).*PORT is "eighty"/s);
});

test("a systemctl that fails is quoted", async () => {
  await Bun.write(join(root, "bin/systemctl"), "#!/bin/sh\necho 'Access denied' >&2\nexit 4\n");
  await expect(installUnit(plain, false, host)).rejects.toThrow(
    /daemon-reload failed: Access denied$/,
  );
});

test.each<[string, Partial<UnitOptions>, Partial<Host>, RegExp]>([
  ["anybody but root", {}, { isRoot: false }, /only root.*sudo/],
  ["a host without systemd", {}, { runsSystemd: false }, /systemd does not run this host/],
  ["an unknown user", { user: "nobody2" }, {}, /there is no user nobody2: sudo useradd/],
  ["an unknown group", { user: "ec2-user", group: "web" }, {}, /there is no group web/],
  [
    "a missing folder",
    { user: "ec2-user", workingDirectory: "/srv/none" },
    {},
    /install -d -o ec2-user/,
  ],
  [
    "a missing folder of a flag",
    { user: "ec2-user", flags: { MODELS_DIR: "/srv/none" } },
    {},
    /^--models-dir: there is no folder \/srv\/none: sudo install -d -o ec2-user \/srv\/none$/,
  ],
  [
    "an executable in a home folder",
    { executable: "/home/ec2-user/imagesvc" },
    {},
    /sudo install -m 0755/,
  ],
  ["an executable of root's alone", { executable: "/etc/shadow" }, {}, /sudo chmod 0755/],
])(
  "%s is refused in one sentence, and nothing is written",
  async (_what, change, other, sentence) => {
    await expect(installUnit({ ...plain, ...change }, true, { ...host, ...other })).rejects.toThrow(
      sentence,
    );
    expect(await readdir(join(root, "units"))).toEqual([]);
  },
);
