import { expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import {
  boundFolders,
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
  const flags = { DOWNLOADS_DIR: "/data/my pictures", MODELS_DIR: "models" };
  const lines = linesOf({ user: "ec2-user", flags });
  expect(lines).toContain(`BindPaths="/data/my pictures"`);
  expect(lines.filter((line) => line.startsWith("BindPaths="))).toHaveLength(1);
  expect(lines).toContain("ProtectHome=yes");
  expect(lines).toContain("StateDirectory=imagesvc");
});

test("only folders that systemd does not make and that lie outside of the working folder are bound", () => {
  const flags = {
    CACHE_DIR: "/var/cache/imagesvc/x",
    DOWNLOADS_DIR: "../pictures",
    MODELS_DIR: "",
  };
  const user = "ec2-user";
  const bound = (change: Partial<UnitOptions>) =>
    boundFolders({ ...plain, user, ...change }).map(({ path }) => path);
  expect(bound({ workingDirectory: "/srv/a", flags })).toEqual(["/srv/a", "/srv/pictures"]);
  const own = { MODELS_DIR: "/srv/a/models", DOWNLOADS_DIR: "/srv/ab" };
  expect(bound({ workingDirectory: "/srv/a", flags: own })).toEqual(["/srv/a", "/srv/ab"]);
  expect(bound({ flags: { MODELS_DIR: "/var/lib/imagesvc/other" } })).toEqual([]);
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

test.each<[string, Partial<UnitOptions>]>([
  ["a folder in a home", { user: "ec2-user", workingDirectory: inHome }],
  [
    "files in the bound part of a home",
    {
      user: "ec2-user",
      workingDirectory: inHome,
      flags: { API_KEYS_FILE: `${inHome}/keys`, NATIVE_DIR: "native" },
    },
  ],
  ["a user's folder elsewhere", { user: "ec2-user", flags: { MODELS_DIR: "/srv/models" } }],
  ["folders that systemd makes", { flags: { MODELS_DIR: "/var/lib/imagesvc/a", CACHE_DIR: "c" } }],
  ["files that everyone sees", { flags: { API_KEYS_FILE: "/etc/keys", NATIVE_DIR: "/opt/n" } }],
  ["empty flags", { flags: { API_KEYS_FILE: "", NATIVE_DIR: "", MODELS_DIR: "" } }],
])("a unit of %s has no fault", (_what, change) => {
  expect(unitFault({ ...plain, ...change })).toBeUndefined();
});

test.each<[string, Partial<UnitOptions>, RegExp]>([
  ["a user that is no name", { user: "a b" }, /^--user must be a name/],
  ["a group that is no name", { user: "a", group: "x\nRoot=/" }, /^--group must be a name/],
  ["a group without a user", { group: "web" }, /needs --user/],
  ["a folder without an owner", { workingDirectory: inHome }, /needs --user/],
  ["models without an owner", { flags: { MODELS_DIR: "/srv/m" } }, /^--models-dir needs --user/],
  ["pictures beside the state", { flags: { DOWNLOADS_DIR: "../x" } }, /^--downloads-dir needs/],
  ["an empty folder", { user: "a", workingDirectory: "" }, /^--working-directory is empty: name/],
  ["the whole host", { user: "a", workingDirectory: "/" }, /^--working-directory must not be the/],
  ["models all over", { user: "a", flags: { MODELS_DIR: "/srv/.." } }, /^--models-dir must not be/],
  ["a temporary folder", { user: "a", workingDirectory: "/tmp/x" }, /must not lie in \/tmp/],
  [
    "a temporary cache",
    { user: "a", flags: { CACHE_DIR: "/var/tmp" } },
    /^--cache-dir must not lie/,
  ],
  [
    "a file of API keys in a home",
    { flags: { API_KEYS_FILE: "/home/ec2-user/keys" } },
    /^--api-keys-file lies in a home .*: put it at \/etc\/imagesvc\/api_keys, .* credential/,
  ],
  [
    "a temporary file of NVIDIA's key",
    { flags: { NVIDIA_API_KEY_FILE: "/tmp/k" } },
    /^--nvidia-api-key-file lies in .*: put it at \/etc\/imagesvc\/nvidia_api_key, /,
  ],
  [
    "libraries in root's home",
    { flags: { NATIVE_DIR: ["", "root", "n"].join("/") } },
    /^--native-dir lies in .*: copy it to /,
  ],
  [
    "keys in another part of the user's home",
    { user: "a", workingDirectory: inHome, flags: { API_KEYS_FILE: "../keys" } },
    /^--api-keys-file lies in a home/,
  ],
  ["a folder with a colon", { user: "a", workingDirectory: "/a:b" }, /without a colon/],
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
