import { expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import {
  executableFault,
  type UnitOptions,
  unitFault,
  unitText,
} from "../../src/cli/systemd-unit.ts";
import { leftOut } from "../support/left-out.ts";
import { repositoryRoot } from "../support/source-files.ts";

const plain: UnitOptions = {
  executable: "/usr/local/bin/imagesvc",
  user: undefined,
  group: undefined,
  workingDirectory: undefined,
  flags: {},
};
const inHome = "/home/ec2-user/demo/vector-embedding";

function linesOf(change: Partial<UnitOptions>): string[] {
  return unitText({ ...plain, ...change }).split("\n");
}

test("systemd/imagesvc.service is the unit without options", async () => {
  const file = Bun.file(join(repositoryRoot, "systemd/imagesvc.service"));
  expect(await file.text()).toBe(unitText(plain));
});

test("flags of serve become part of the command line, in the settings' order", () => {
  expect(linesOf({ flags: { HOST: "127.0.0.1", PORT: "9000" } })).toContain(
    "ExecStart=/usr/local/bin/imagesvc serve --port=9000 --host=127.0.0.1",
  );
});

test("what systemd would expand or split stays as it is", () => {
  const flags = { NO_PROXY: `a b "c" \\d $E %F` };
  expect(linesOf({ executable: "/opt/image svc/imagesvc", flags })).toContain(
    String.raw`ExecStart="/opt/image svc/imagesvc" serve "--no-proxy=a b \"c\" \\d $$E %%F"`,
  );
});

test("a user's working folder is bound into an empty /home, and stands for the state folder", () => {
  const lines = linesOf({ user: "ec2-user", group: "web", workingDirectory: inHome });
  expect(lines).toContain("User=ec2-user");
  expect(lines).toContain("Group=web");
  expect(lines).toContain(`WorkingDirectory=${inHome}`);
  expect(lines).toContain(`BindPaths=${inHome}`);
  expect(lines).toContain("ProtectHome=tmpfs");
  expect(lines.some((line) => /^(DynamicUser|StateDirectory)=/.test(line))).toBe(false);
});

test("a folder of its own outside of home folders is writable, and homes stay hidden", () => {
  const lines = linesOf({ flags: { DOWNLOADS_DIR: "/data/my pictures", MODELS_DIR: "models" } });
  expect(lines).toContain(`BindPaths="/data/my pictures"`);
  expect(lines.filter((line) => line.startsWith("BindPaths="))).toHaveLength(1);
  expect(lines).toContain("ProtectHome=yes");
  expect(lines).toContain("StateDirectory=imagesvc");
});

test("only a port below 1024 takes a capability, and the user namespace for it", () => {
  expect(linesOf({ flags: { PORT: "80" } })).toEqual(
    expect.arrayContaining([
      "CapabilityBoundingSet=CAP_NET_BIND_SERVICE",
      "AmbientCapabilities=CAP_NET_BIND_SERVICE",
      "PrivateUsers=no",
    ]),
  );
  for (const PORT of ["1024", "0"]) {
    const lines = linesOf({ flags: { PORT } });
    expect(lines).toEqual(expect.arrayContaining(["CapabilityBoundingSet=", "PrivateUsers=yes"]));
  }
});

test("a sound unit has no fault", () => {
  expect(unitFault({ ...plain, user: "ec2-user", workingDirectory: inHome })).toBeUndefined();
});

test.each<[string, Partial<UnitOptions>, RegExp]>([
  ["a user that is no name", { user: "a b" }, /^--user must be a name/],
  ["a group that is no name", { user: "a", group: "x\nRoot=/" }, /^--group must be a name/],
  ["a group without a user", { group: "web" }, /needs --user/],
  ["a folder without an owner", { workingDirectory: inHome }, /needs --user/],
  ["a folder with a colon", { user: "a", workingDirectory: "/a:b" }, /no colon/],
  ["a flag of two lines", { flags: { HOST: "::\nUser=root" } }, /one line/],
])("%s is refused in one sentence", (_what, change, sentence) => {
  expect(unitFault({ ...plain, ...change })).toMatch(sentence);
});

test.each([
  ["/home/ec2-user/imagesvc", true],
  [["", "root", "imagesvc"].join("/"), true],
  ["/tmp/imagesvc", true],
  ["/homes/imagesvc", false],
  ["/opt/imagesvc/imagesvc", false],
])("whether the sandbox hides %s: %p", (path, isHidden) => {
  expect(executableFault(path) !== undefined).toBe(isHidden);
});

test("no flag can add a line to the unit", () => {
  const count = linesOf({}).length;
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (HOST) => {
      const options = { ...plain, flags: { HOST } };
      fc.pre(unitFault(options) === undefined);
      expect(unitText(options).split("\n")).toHaveLength(count);
    }),
  );
});

const variants: readonly (readonly [string, Partial<UnitOptions>])[] = [
  ["without options", {}],
  ["of a user with a folder", { user: "root", workingDirectory: inHome }],
  ["with a privileged port and quoted flags", { flags: { PORT: "80", NO_PROXY: `a "b" $c %d` } }],
];

test.each(variants)(
  "systemd finds nothing to say about the unit %s, and calls it safe",
  async (_, change) => {
    if (Bun.which("systemd-analyze") === null) return leftOut("systemd-analyze is missing");
    const folder = await mkdtemp(join(tmpdir(), "imagesvc-unit-"));
    try {
      const unit = join(folder, "imagesvc.service");
      // An executable that is there, for `verify` looks.
      await Bun.write(unit, unitText({ ...plain, ...change, executable: "/bin/true" }));
      expect(await analyze("verify", unit)).toBe("");
      const [, exposure] =
        /Overall exposure level[^:]*: ([\d.]+)/.exec(
          await analyze("security", "--offline=yes", "--no-pager", unit),
        ) ?? [];
      expect(Number(exposure)).toBeLessThanOrEqual(2);
    } finally {
      await rm(folder, { recursive: true });
    }
  },
);

async function analyze(...words: readonly string[]): Promise<string> {
  const child = Bun.spawn(["systemd-analyze", ...words], { stdout: "pipe", stderr: "pipe" });
  const texts = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  await child.exited;
  return texts.join("");
}
