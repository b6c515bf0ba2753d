/** `imagesvc models verify` without `--pictures`: the golden pictures come from where they were published. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { goldenPictures } from "../../src/models/golden-inputs.ts";
import { defaultModel } from "../support/default-model.ts";
import { leftOut } from "../support/left-out.ts";
import {
  type Answer,
  closeMidBody,
  type Origin,
  redirect,
  respond,
  startOrigin,
} from "../support/origin.ts";
import { smallProgram } from "../support/small-model.ts";
import { temporaryFolder } from "../support/tiny-clip.ts";

const pictures = join(import.meta.dir, "../../../shared/golden/pictures");
const published = "https://raw.githubusercontent.com";

/** The pictures that are to be had here, under the names that they have there. */
const [dogs, cat, eiffel, coco, diagram] = await Promise.all(
  goldenPictures.map(async ({ url, ...picture }) => {
    const paths = ["", "st-"].map((prefix) => join(pictures, `${prefix}${picture.name}`));
    const path = paths.find((one) => existsSync(one));
    const body = path === undefined ? undefined : await readFile(path);
    return { ...picture, path: url.slice(published.length), body };
  }),
);
if (!dogs || !cat || !eiffel || !coco || !diagram)
  throw new Error("there are five golden pictures");
const paths = [dogs, cat, eiffel, coco, diagram].map(({ path }) => path);
const areHere = [dogs, cat, eiffel, diagram].every(({ body }) => body !== undefined);

/** What the host of the pictures answers now, by path. */
const answers: Record<string, Answer> = {};
let origin: Origin;
let folder: Awaited<ReturnType<typeof temporaryFolder>>;

beforeAll(async () => {
  folder = await temporaryFolder();
  origin = await startOrigin(answers);
});
afterAll(async () => {
  await origin[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});

interface Verified {
  readonly code: number;
  /** Verdict and finding of what is said of a picture or of its pixels. */
  of(picture: { readonly name: string }): readonly [string, string] | undefined;
  /** Paths that were asked for. */
  readonly asked: readonly string[];
}

async function verify(settings: Readonly<Record<string, string>> = {}): Promise<Verified> {
  const { program, environment } = await smallProgram(folder.path, defaultModel.source);
  const before = origin.requests.length;
  const child = Bun.spawn([...program, "models", "verify", "--json"], {
    env: {
      PATH: Bun.env["PATH"] ?? "",
      CLIP_WEIGHTS: "synthetic",
      MODELS_DIR: join(folder.path, "models"),
      CACHE_DIR: join(folder.path, "cache"),
      FETCH_ALLOW: "127.0.0.1",
      // That is for images of strangers.
      MAX_IMAGE_BYTES: "50000",
      HF_HUB_OFFLINE: "false",
      GOLDEN_ORIGIN: origin.url("").replace(/\/$/, ""),
      ...environment,
      ...settings,
    },
    stdout: "pipe",
    stderr: "ignore",
  });
  const [output, code] = await Promise.all([child.stdout.text(), child.exited]);
  const checks: { what: string; verdict: string; found: string }[] = JSON.parse(output);
  return {
    code,
    of: ({ name }) => {
      const check = checks.find(({ what }) => [name, `${name}, pixel values`].includes(what));
      return check && [check.verdict, check.found];
    },
    asked: origin.requests.slice(before).map(({ path }) => path),
  };
}

const orElse = "Or give a folder that has it: --pictures DIR";
const notFound = `The image's host answered with status 404: check the URL in a browser. ${orElse}`;
const right = ["right", "the reference's, bit for bit"] as const;

test("a picture that cannot be had, or is another, is left out and said why, and nothing of it is kept", async () => {
  answers[dogs.path] = redirect(origin.url("/nowhere"));
  answers[cat.path] = respond({ body: new Uint8Array(cat.bytes) });
  answers[eiffel.path] = closeMidBody;
  answers[coco.path] = respond({ status: 404 });
  const tooLong = Math.max(...goldenPictures.map(({ bytes }) => bytes)) + 1;
  answers[diagram.path] = respond({ body: new Uint8Array(tooLong) });
  const { code, of, asked } = await verify();
  expect(code).toBe(0);
  expect(asked).toContainAllValues([...paths, "/nowhere"]);
  expect(of(dogs)).toEqual(["left out", notFound]);
  expect(of(cat)).toEqual(["left out", "what was fetched is another file"]);
  expect(of(eiffel)).toEqual(["left out", expect.stringContaining(orElse)]);
  expect(of(coco)).toEqual(["left out", notFound]);
  expect(of(diagram)).toEqual(["left out", "what was fetched is another file"]);
  expect(await readdir(join(folder.path, "cache")).catch(() => [])).toEqual([]);
});

test("the right ones are fetched, over a redirect too, kept, and give the reference's pixels", async () => {
  if (!areHere) return leftOut("golden pictures, which are not in ../shared/golden/pictures");
  for (const { path, body = "" } of [cat, eiffel, diagram]) answers[path] = respond({ body });
  answers[dogs.path] = redirect(origin.url("/moved"));
  answers["/moved"] = respond({ body: dogs.body ?? "" });
  const first = await verify();
  expect([dogs, cat, eiffel, diagram].map(first.of)).toEqual([right, right, right, right]);
  const second = await verify();
  expect([dogs, cat, eiffel, diagram].map(second.of)).toEqual([right, right, right, right]);
  expect(second.asked).toEqual([coco.path]);
  const offline = await verify({ HF_HUB_OFFLINE: "1" });
  expect([dogs, cat, eiffel, diagram].map(offline.of)).toEqual([right, right, right, right]);
  expect(offline.of(coco)).toEqual(["left out", "HF_HUB_OFFLINE forbids to fetch it"]);
  expect(offline.asked).toEqual([]);
});

test("a proxy is asked for them, except where NO_PROXY names their host, and a fetch that fails through it says so", async () => {
  for (const { path } of [dogs, cat, coco, diagram]) answers[path] = respond({ status: 404 });
  answers[eiffel.path] = respond({ status: 404 });
  // As a proxy for http: it is asked for whole URLs.
  const host = "http://pictures.example";
  const proxied: Record<string, Answer> = {};
  await using proxy = await startOrigin(proxied);
  const { body } = eiffel;
  if (body !== undefined) proxied[host + eiffel.path] = respond({ body });
  const settings = {
    GOLDEN_ORIGIN: host,
    HTTPS_PROXY: proxy.url(""),
    CACHE_DIR: join(folder.path, "other-cache"),
  };
  const { of, asked } = await verify(settings);
  expect(asked).toEqual([]);
  expect(proxy.requests.map(({ path }) => path).sort()).toEqual(
    paths.map((path) => host + path).sort(),
  );
  const missing = `The fetch through the proxy brought status 404: check HTTPS_PROXY and NO_PROXY. ${orElse}`;
  expect(of(cat)).toEqual(["left out", missing]);
  expect(of(eiffel)).toEqual(body === undefined ? ["left out", missing] : right);
  const direct = await verify({
    HTTPS_PROXY: proxy.url(""),
    NO_PROXY: "127.0.0.1",
    CACHE_DIR: join(folder.path, "third-cache"),
  });
  expect(direct.asked).toContainAllValues(paths);
  expect(proxy.requests).toHaveLength(paths.length);
  const unreachable = await verify({ ...settings, HTTPS_PROXY: "http://127.0.0.1:9" });
  expect(unreachable.of(cat)?.[1]).toMatch(/^The fetch through the proxy failed \(\w+\): check /);
});
