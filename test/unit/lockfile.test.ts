import { expect, test } from "bun:test";
import { lockedPackages } from "../../src/release/lockfile.ts";

/** A lock file in Bun's own spelling: with commas that JSON forbids. */
function lock(needs: object, packages: Record<string, readonly [string, object]>): string {
  const rows = Object.entries(packages).map(
    ([key, [spec, details]]) =>
      `${JSON.stringify(key)}: ["${spec}", "", ${JSON.stringify(details)}, "sha512-${key}"],`,
  );
  return `{
    "lockfileVersion": 2,
    "workspaces": { "": ${JSON.stringify(needs)}, },
    "packages": { ${rows.join("\n")} },
  }`;
}

function folders(text: string, cpu = "x64", without: readonly string[] = []): string[] {
  return lockedPackages(text, { cpu, without }).map(({ folder }) => folder);
}

test("production dependencies are followed, those of development are not", () => {
  const text = lock(
    { dependencies: { "@a/a": "1" }, devDependencies: { tool: "1" } },
    {
      "@a/a": ["@a/a@1.2.3", { dependencies: { b: "^2" } }],
      b: ["b@2.0.0", {}],
      tool: ["t@1", {}],
    },
  );
  expect(lockedPackages(text, { cpu: "x64", without: [] })).toEqual([
    { name: "@a/a", version: "1.2.3", integrity: "sha512-@a/a", folder: "@a/a" },
    { name: "b", version: "2.0.0", integrity: "sha512-b", folder: "b" },
  ]);
});

test("a package gets its own version of what it needs before the common one", () => {
  const text = lock(
    { dependencies: { a: "1", "@s/b": "1" } },
    {
      a: ["a@1", { dependencies: { "@s/b": "2", c: "1" } }],
      "a/@s/b": ["@s/b@2", { dependencies: { c: "1" } }],
      "@s/b": ["@s/b@1", {}],
      c: ["c@1", {}],
    },
  );
  expect(folders(text)).toEqual(["@s/b", "a", "a/node_modules/@s/b", "c"]);
});

test("of packages for one system only the wanted one's are taken", () => {
  const text = lock(
    { optionalDependencies: { x: "1", arm: "1", musl: "1", mac: "1", any: "1", gone: "1" } },
    {
      x: ["x@1", { os: "linux", cpu: "x64", libc: "glibc" }],
      arm: ["arm@1", { os: "linux", cpu: "arm64" }],
      musl: ["musl@1", { os: "linux", cpu: "x64", libc: "musl" }],
      mac: ["mac@1", { os: "darwin" }],
      any: ["any@1", { os: ["darwin", "linux"] }],
    },
  );
  expect(folders(text)).toEqual(["any", "x"]);
  expect(folders(text, "arm64")).toEqual(["any", "arm"]);
});

test("peers are taken, unless they are optional", () => {
  const peers = { peerDependencies: { b: "1", c: "1" }, optionalPeers: ["c"] };
  const text = lock(
    { dependencies: { a: "1" } },
    { a: ["a@1", peers], b: ["b@1", {}], c: ["c", {}] },
  );
  expect(folders(text)).toEqual(["a", "b"]);
});

test("what is left out does not bring what only it needs", () => {
  const text = lock(
    { dependencies: { a: "1" } },
    { a: ["a@1", { optionalDependencies: { b: "1" } }], b: ["b@1", { dependencies: { c: "1" } }] },
  );
  expect(folders(text, "x64", ["b"])).toEqual(["a"]);
});

test("packages that need each other are each listed once", () => {
  const text = lock(
    { dependencies: { a: "1" } },
    { a: ["a@1", { dependencies: { b: "1" } }], b: ["b@1", { dependencies: { a: "1" } }] },
  );
  expect(folders(text)).toEqual(["a", "b"]);
});

test("a missing package is named", () => {
  const text = lock({ dependencies: { a: "1" } }, {});
  expect(() => folders(text)).toThrow("bun.lock lacks a");
});

test("a lock file of another version is refused", () => {
  expect(() => folders('{ "lockfileVersion": 3, "packages": {} }')).toThrow("not of version 2");
});
