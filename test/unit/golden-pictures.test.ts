/** Golden pictures: where they are looked for, and what is taken for one. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type GoldenPictureSource, obtainPicture } from "../../src/models/golden-pictures.ts";
import { temporaryFolder } from "../support/tiny-clip.ts";

const bytes = new TextEncoder().encode("a picture");
const picture = {
  name: "dogs.jpg",
  url: "https://pictures.example/dogs.jpg",
  bytes: bytes.length,
  sha256: new Bun.CryptoHasher("sha256").update(bytes).digest("hex"),
  pixelValuesSha256: "ab".repeat(32),
};

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let fetched: string[];

beforeEach(async () => {
  folder = await temporaryFolder();
  fetched = [];
});
afterEach(() => folder[Symbol.asyncDispose]());

function obtain(source: Partial<GoldenPictureSource>, body: Uint8Array | Error = bytes) {
  const fetchImage = async (url: string) => {
    fetched.push(url);
    if (body instanceof Error) throw body;
    return body;
  };
  const places = { folder: undefined, cache: join(folder.path, "cache"), fetchImage, ...source };
  return obtainPicture(places, picture, new AbortController().signal);
}

test("a folder's picture is known by its bytes, whatever its name", async () => {
  await writeFile(join(folder.path, "a.jpg"), new Uint8Array(bytes.length));
  await writeFile(join(folder.path, "b.jpg"), bytes);
  expect(await obtain({ folder: folder.path })).toEqual({ path: join(folder.path, "b.jpg") });
  expect(fetched).toEqual([]);
});

test("where a folder is given, nothing is fetched", async () => {
  expect(await obtain({ folder: folder.path })).toEqual({
    missing: "it is not in the folder of --pictures",
  });
  expect(fetched).toEqual([]);
});

test("a fetched picture is kept for the next time", async () => {
  const path = join(folder.path, "cache", "dogs.jpg");
  expect(await obtain({})).toEqual({ path });
  expect(await obtain({})).toEqual({ path });
  expect(fetched).toEqual([picture.url]);
});

test("one that was damaged since is fetched anew", async () => {
  await obtain({});
  const path = join(folder.path, "cache", "dogs.jpg");
  await writeFile(path, new Uint8Array(bytes.length));
  expect(await obtain({})).toEqual({ path });
  expect(fetched).toHaveLength(2);
  expect(await Bun.file(path).bytes()).toEqual(bytes);
});

test("other bytes than the published ones are not taken", async () => {
  const found = await obtain({}, new Uint8Array(bytes.length));
  expect(found).toEqual({ missing: "what was fetched is another file" });
  expect(await readdir(folder.path)).toEqual([]);
});

test("a failure says the other way, and offline nothing is fetched", async () => {
  expect(await obtain({}, new Error("The host does not answer."))).toEqual({
    missing: "The host does not answer. Or give a folder that has it: --pictures DIR",
  });
  expect(await obtain({ fetchImage: undefined })).toEqual({
    missing: "HF_HUB_OFFLINE forbids to fetch it",
  });
  expect(fetched).toHaveLength(1);
});
