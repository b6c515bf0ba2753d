/** The page in Chromium: each flow, as somebody at a desk and somebody with a phone sees it. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Browser, Page } from "playwright-core";
import { createApiKey, withApiKey } from "../../src/store/api-keys.ts";
import { cosineSimilarity } from "../../src/web/client.ts";
import { answerOf, postFile, postJson } from "../support/client.ts";
import { makeLandscape } from "../support/landscape.ts";
import { leftOut } from "../support/left-out.ts";
import { type NvidiaFake, startNvidiaFake } from "../support/nvidia-fake.ts";
import { type Origin, respond, startOrigin } from "../support/origin.ts";
import { type Bytes, makeJpeg, makePng, makeTiff } from "../support/pictures.ts";
import { reachingFakes, startService, type TestService } from "../support/service.ts";
import { repositoryRoot } from "../support/source-files.ts";
import { findAccessBreaches, findChromium, startChromium } from "./chromium.ts";
import {
  bring,
  card,
  chooser,
  expectCount,
  expectText,
  type Flow,
  file,
  heatMap,
  openBoard,
  pasted,
  shapeOf,
  stages,
  tabTo,
  urlField,
  type Visit,
  visitPage,
} from "./page-visit.ts";

const sizes = ["desktop", "phone"] as const;

/** A name of this machine that is no localhost: a page under it has no clipboard, as most of the house's. */
const plainHost = "imagesvc.test";

const apiKey = createApiKey("page", new Date());

const chromium = findChromium();
if (chromium === undefined) {
  leftOut("/ in a browser: no Chromium; install it or set CHROMIUM_PATH");
}

let folder: string;
let nvidia: NvidiaFake;
let origin: Origin;
let service: TestService;
let keyedService: TestService;
let browser: Browser;
let picture: Bytes;

beforeAll(async () => {
  if (chromium === undefined) return;
  folder = await mkdtemp(join(tmpdir(), "imagesvc-page-"));
  picture = await makeLandscape(0);
  nvidia = startNvidiaFake();
  const photo = await makeJpeg({ width: 900, height: 600, orientation: 6 });
  origin = await startOrigin({ "/photo.jpg": respond({ body: photo }) });
  const keys = join(folder, "api-keys");
  await Bun.write(keys, withApiKey("", apiKey.entry));
  // Lets the other name through.
  const proxied = { TRUSTED_PROXIES: "127.0.0.1" };
  service = await startService({ ...reachingFakes(nvidia), ...proxied });
  keyedService = await startService({ API_KEYS_FILE: keys });
  browser = await startChromium(chromium, [plainHost]);
});

afterAll(async () => {
  if (chromium === undefined) return;
  await browser.close();
  await service.stop();
  await keyedService.stop();
  await origin[Symbol.asyncDispose]();
  await nvidia.stop();
  await rm(folder, { recursive: true });
});

/** Opens the page of the one service or the other. */
function visit(options: Partial<Visit>, flow: Flow): Promise<void> {
  return visitPage(browser, { at: service.url, ...options }, flow);
}

/** The numbers of a vector, as the service answers them. */
async function vectorOf(bytes: Bytes, model = "clip-ViT-B-32"): Promise<readonly number[]> {
  const answer = await answerOf(await postFile(service, bytes, { query: `?model=${model}` }));
  return answer.vector;
}

describe.if(chromium !== undefined).each(sizes)("the page, %s", (size) => {
  test("a picture that is chosen becomes both models' vectors", async () => {
    await visit({ size }, async (page, { requests }) => {
      await page.getByText("These vectors mean nothing.").waitFor();
      await chooser(page).setInputFiles(file(picture));
      const local = card(page, "clip-ViT-B-32");
      const hosted = card(page, "nv-dinov2");
      await local.getByText("512 numbers").waitFor();
      await hosted.getByText("1536 numbers").waitFor();
      const vector = await vectorOf(picture);
      await local.getByText(Math.hypot(...vector).toFixed(4)).waitFor();
      for (const stage of ["decode", "model", "in all"]) {
        await stages(page).locator("dt", { hasText: stage }).waitFor();
      }
      await stages(page).locator("dt", { hasText: "NVIDIA" }).waitFor();
      // One upload for both.
      expect(requests.filter((url) => new URL(url).pathname === "/embeddings")).toHaveLength(1);
      expect(await shapeOf(heatMap(local))).toEqual([32, 16]);
      expect(await shapeOf(heatMap(hosted))).toEqual([48, 32]);
      await page.locator('figure img[src^="blob:"]').waitFor();
      await savePicture(page, `page-${size}.png`);
    });
  });

  test("a picture that is named by its URL is shown by our answer, and its host sees the service alone", async () => {
    const before = origin.requests.length;
    await visit({ size }, async (page) => {
      await urlField(page).fill(origin.url("/photo.jpg"));
      await page.getByRole("button", { name: "Fetch" }).click();
      await card(page, "clip-ViT-B-32").getByText("512 numbers").waitFor();
      await card(page, "nv-dinov2").getByText("1536 numbers").waitFor();
      const shown = page.locator('figure img[src^="data:image/jpeg"]');
      await shown.waitFor();
      const image = `document.querySelector("figure img")`;
      expect(await page.evaluate(`[${image}.naturalWidth, ${image}.naturalHeight]`)).toEqual([
        213, 320,
      ]);
      await stages(page).locator("dt", { hasText: "fetch" }).waitFor();
    });
    // Once for both models, and by nobody but the service.
    expect(origin.requests.length - before).toBe(1);
  });
});

describe.if(chromium !== undefined).each(sizes)("the board, %s", (size) => {
  test("pictures and a text on the board have the cosines of their vectors, and a text ranks them", async () => {
    const names = ["night ferry.jpg", "first snow.jpg", "desert.jpg"];
    const pictures = await Promise.all([1, 2, 3].map(makeLandscape));
    const vectors: (readonly number[])[] = [];
    for (const bytes of pictures) vectors.push(await vectorOf(bytes));
    const textVector = async (text: string) =>
      (await answerOf(await postJson(service, "/embed-text", { text }))).vector;
    await visit({ size, scheme: "dark" }, async (page) => {
      await openBoard(page);
      await chooser(page).setInputFiles(pictures.map((bytes, index) => file(bytes, names[index])));
      await page.getByLabel("or a text").fill("a harbour");
      await page.getByLabel("or a text").press("Enter");
      const all = [...vectors, await textVector("a harbour")];
      const cells = page.locator("tbody td");
      await cells.nth(15).waitFor();
      expect(await cells.allTextContents()).toEqual(
        all.flatMap((a) => all.map((b) => cosineSimilarity(a, b).toFixed(2))),
      );
      await page.getByLabel("What do you look for?").fill("a dog in the snow");
      await page.getByRole("button", { name: "Rank" }).click();
      await page.locator(".ranked li").nth(2).waitFor();
      const wanted = await textVector("a dog in the snow");
      const ranked = vectors
        .map((vector, index) => ({
          name: names[index] ?? "",
          cosine: cosineSimilarity(wanted, vector),
        }))
        .sort((a, b) => b.cosine - a.cosine);
      expect(await page.locator(".ranked .name").allTextContents()).toEqual(
        ranked.map(({ name }) => name),
      );
      expect(await page.locator(".ranked output").allTextContents()).toEqual(
        ranked.map(({ cosine }) => cosine.toFixed(4)),
      );
      await savePicture(page, `page-board-${size}.png`);
      await page.getByRole("button", { name: "Remove first snow.jpg" }).click();
      await expectCount(page.locator(".ranked li"), 2);
      await expectCount(cells, 9);
    });
  });
});

describe.if(chromium !== undefined).each(sizes)("the page to everyone, %s", (size) => {
  test.each(["light", "dark"] as const)("axe finds nothing wrong, %s", async (scheme) => {
    await visit({ size, scheme, expectsErrors: true }, async (page) => {
      const found = async (what: string) =>
        (await findAccessBreaches(page)).map((breach) => `${what}: ${breach}`);
      const breaches = await found("empty");
      await chooser(page).setInputFiles(file(picture));
      await card(page, "nv-dinov2").getByText("1536 numbers").waitFor();
      await heatMap(card(page, "nv-dinov2")).focus();
      breaches.push(...(await found("vectors")));
      await chooser(page).setInputFiles(file(Buffer.from("no picture")));
      await page.getByRole("alert").first().waitFor();
      breaches.push(...(await found("problem")));
      await openBoard(page);
      breaches.push(...(await found("empty board")));
      await chooser(page).setInputFiles([file(picture), file(await makePng(), "b.png")]);
      await page.locator("tbody td").nth(3).waitFor();
      await page.getByLabel("What do you look for?").fill("snow");
      await page.getByRole("button", { name: "Rank" }).click();
      await page.locator(".ranked li").first().waitFor();
      breaches.push(...(await found("board")));
      expect(breaches).toEqual([]);
    });
  });
});

describe.if(chromium !== undefined).each(sizes)("where something is missing, %s", (size) => {
  test("an API key is asked for, told when it is wrong, and kept in the tab alone", async () => {
    await visit({ size, at: keyedService.url, expectsErrors: true }, async (page) => {
      await chooser(page).setInputFiles(file(picture));
      const field = page.getByLabel("API key");
      await field.waitFor();
      expect(await findAccessBreaches(page)).toEqual([]);
      await field.fill("imagesvc_wrong");
      await page.getByRole("button", { name: "Use it" }).click();
      await page.getByText("The API key is none of ours").waitFor();
      await field.fill(apiKey.key);
      await field.press("Enter");
      await card(page, "clip-ViT-B-32").getByText("512 numbers").waitFor();
      expect(await page.locator("pre").first().textContent()).toContain("$IMAGESVC_API_KEY");
      expect(await page.content()).not.toContain(apiKey.key);
      expect(await page.evaluate("[localStorage.length, document.cookie]")).toEqual([0, ""]);
      await page.reload();
      await chooser(page).setInputFiles(file(picture));
      await card(page, "clip-ViT-B-32").getByText("512 numbers").waitFor();
      await page.getByRole("button", { name: "Forget it" }).click();
      await field.waitFor();
      expect(await page.evaluate("sessionStorage.length")).toBe(0);
    });
  });

  test("without NVIDIA's key the page says calmly what is missing, and asks NVIDIA's model nothing", async () => {
    await visit({ size, at: keyedService.url, expectsErrors: true }, async (page) => {
      const asked: string[] = [];
      page.on("request", (request) => void asked.push(request.postData() ?? ""));
      const missing = page.locator(".missing");
      await missing.getByText("needs a key of yours").waitFor();
      await missing.getByText("NVIDIA_API_KEY=nvapi-…").waitFor();
      await chooser(page).setInputFiles(file(picture));
      await page.getByLabel("API key").fill(apiKey.key);
      await page.getByLabel("API key").press("Enter");
      await card(page, "clip-ViT-B-32").getByText("512 numbers").waitFor();
      expect(asked.filter((body) => body.includes('"clip-ViT-B-32"'))).not.toEqual([]);
      expect(asked.filter((body) => body.includes("nv-dinov2"))).toEqual([]);
      expect(await page.getByRole("alert").count()).toBe(0);
    });
  });
});

describe.if(chromium !== undefined)("what is brought to the page", () => {
  test("on a phone a photo can be taken, with the camera that looks ahead", async () => {
    await visit({ size: "phone" }, async (page) => {
      const photo = page.locator("label", { hasText: "Take a photo" }).locator("input:visible");
      expect(await photo.getAttribute("capture")).toBe("environment");
      await photo.setInputFiles(file(picture));
      await card(page, "clip-ViT-B-32").getByText("512 numbers").waitFor();
    });
  });

  test("a picture can be dropped and pasted, and so can a URL", async () => {
    await visit({}, async (page) => {
      const local = card(page, "clip-ViT-B-32");
      for (const [kind, name] of [
        ["drop", "dropped.jpg"],
        ["paste", "pasted.jpg"],
      ] as const) {
        await bring(page, kind, { name, base64: Buffer.from(picture).toString("base64") });
        await page.locator("figcaption", { hasText: name }).waitFor();
        await local.getByText("512 numbers").waitFor();
      }
      await bring(page, "paste", { text: origin.url("/photo.jpg") });
      await page.locator("figcaption", { hasText: "/photo.jpg" }).waitFor();
      await page.locator('figure img[src^="data:image/jpeg"]').waitFor();
    });
  });

  test("a picture that browsers cannot show is shown by our answer", async () => {
    const tiff = await makeTiff({ width: 400, height: 300 });
    await visit({}, async (page) => {
      await chooser(page).setInputFiles(file(tiff, "scan.tif", "image/tiff"));
      await page.locator('figure img[src^="data:image/"]').waitFor();
    });
  });
});

describe.if(chromium !== undefined)("what the page shows", () => {
  test("the pointer and the arrow keys find each number, exactly as it was answered", async () => {
    const vector = await vectorOf(picture);
    await visit({}, async (page) => {
      await chooser(page).setInputFiles(file(picture));
      const local = card(page, "clip-ViT-B-32");
      const cells = heatMap(local);
      const told = local.locator("output");
      const { width = 0, height = 0 } = (await cells.boundingBox()) ?? {};
      // Column 5 of row 2.
      await cells.hover({ position: { x: (5.5 / 32) * width, y: (2.5 / 16) * height } });
      await expectText(told, `[69] = ${vector[69]}`);
      await page.mouse.move(0, 0);
      await cells.focus();
      await expectText(told, `[0] = ${vector[0]}`);
      for (const [key, index] of [
        ["ArrowRight", 1],
        ["ArrowDown", 33],
        ["End", 511],
        ["ArrowRight", 511],
        ["ArrowUp", 479],
        ["PageUp", 351],
        ["Home", 0],
      ] as const) {
        await cells.press(key);
        await expectText(told, `[${index}] = ${vector[index]}`);
        expect(await cells.getAttribute("aria-valuetext")).toBe(`[${index}] = ${vector[index]}`);
      }
    });
  });

  test("everything is done by the keyboard alone", async () => {
    await visit({}, async (page) => {
      await tabTo(page, "or its URL");
      await page.keyboard.type(origin.url("/photo.jpg"));
      await page.keyboard.press("Enter");
      await card(page, "clip-ViT-B-32").getByText("512 numbers").waitFor();
      await tabTo(page, "Vector of");
      await page.keyboard.press("ArrowRight");
      await page.locator("output", { hasText: "[1] =" }).waitFor();
      await tabTo(page, "Python");
      await page.keyboard.press("Enter");
      await card(page, "clip-ViT-B-32").getByText("Copied", { exact: true }).waitFor();
    });
  });
});

describe.if(chromium !== undefined)("what can be taken from the page", () => {
  test.each(["localhost", plainHost])("what is copied is the vector, at %s", async (host) => {
    const vector = await vectorOf(picture);
    const at = new URL(service.url);
    at.hostname = host;
    await visit({ at }, async (page) => {
      expect(await page.evaluate("navigator.clipboard !== undefined")).toBe(host === "localhost");
      await chooser(page).setInputFiles(file(picture));
      const local = card(page, "clip-ViT-B-32");
      const copy = async (place: number) => {
        const button = local.locator(".copies button").nth(place);
        await button.click();
        await button.filter({ hasText: "Copied" }).waitFor();
        return await pasted(page);
      };
      expect(JSON.parse(await copy(0))).toEqual([...vector]);
      const python = await copy(1);
      expect(python).toContain(`np.array(${JSON.stringify(vector)}, dtype=np.float32)`);
      const script = await copy(2);
      expect(new Function(`${script}; return vector`)()).toEqual(new Float32Array(vector));
    });
  });

  test("the line of curl and the JavaScript do the same as the page did", async () => {
    const name = "it's, a; picture.jpg";
    await Bun.write(join(folder, name), picture);
    const vector = await vectorOf(picture);
    await visit({}, async (page) => {
      const local = card(page, "clip-ViT-B-32");
      const code = local.locator("pre");
      await chooser(page).setInputFiles(file(picture, name));
      await local.getByText("512 numbers").waitFor();
      expect((await runInShell((await code.textContent()) ?? "")).vector).toEqual(vector);
      await urlField(page).fill(origin.url("/photo.jpg"));
      await page.getByRole("button", { name: "Fetch" }).click();
      await page.locator("figcaption", { hasText: "/photo.jpg" }).waitFor();
      await local.getByText("512 numbers").waitFor();
      const { embedding } = await runInShell((await code.textContent()) ?? "");
      expect(embedding).toHaveLength(512);
      await local.locator(".tabs").getByRole("button", { name: "JavaScript" }).click();
      const script = (await code.textContent()) ?? "";
      const run = new Function(`return (async () => { ${script}; return embedding; })()`);
      expect(await run()).toEqual(embedding);
    });
  });
});

describe.if(chromium !== undefined)("while the page waits, and when it fails", () => {
  test("on a slow line the page says how far the upload is", async () => {
    const large = await makePng({ width: 700, height: 500, kind: "noise" });
    await visit({}, async (page) => {
      const slow = await page.context().newCDPSession(page);
      await slow.send("Network.emulateNetworkConditions", {
        offline: false,
        latency: 20,
        downloadThroughput: -1,
        uploadThroughput: 700_000,
      });
      await page.evaluate(`
        globalThis.seen = [];
        new MutationObserver(() => {
          const words = document.querySelector(".progress p")?.textContent;
          if (words && seen.at(-1) !== words) seen.push(words);
        }).observe(document.body, { subtree: true, childList: true, characterData: true });
      `);
      await chooser(page).setInputFiles(file(large, "large.png", "image/png"));
      await card(page, "clip-ViT-B-32").getByText("512 numbers").waitFor();
      const seen: readonly string[] = await page.evaluate("seen");
      const percents = seen.flatMap((words) => /(\d+) % of 1\.\d MB/.exec(words)?.[1] ?? []);
      expect(
        percents.map(Number).filter((percent) => percent > 0 && percent < 100).length,
      ).toBeGreaterThan(2);
    });
  });

  test("each problem is told in the service's words, with what to do, and the next picture is another matter", async () => {
    const truncated = picture.slice(0, picture.length / 2);
    const tooLarge = new Uint8Array(21 * 1024 * 1024);
    tooLarge.set(picture);
    await visit({ expectsErrors: true }, async (page) => {
      const local = card(page, "clip-ViT-B-32");
      const problem = page.locator(".problem");
      for (const [bytes, words, code] of [
        [
          Buffer.from("no picture"),
          "JPEG, PNG, WebP, GIF, AVIF and TIFF are decoded",
          "unsupported-image",
        ],
        [truncated, "truncated or corrupt", "undecodable-image"],
        [tooLarge, "larger than the limit of 20971520 bytes", "body-too-large"],
      ] as const) {
        await chooser(page).setInputFiles(file(bytes));
        await problem.getByText(words).last().waitFor();
        await problem.getByRole("link", { name: code }).waitFor();
        // What holds for both models is said once.
        expect(await problem.count()).toBe(1);
      }
      for (const [url, words, code] of [
        ["http://10.0.0.1/a.jpg", "not public", "forbidden-address"],
        ["not a URL", "absolute", "invalid-image-url"],
        [origin.url("/gone.jpg"), "Its host answered 404", "origin-error"],
      ] as const) {
        await urlField(page).fill(url);
        await page.getByRole("button", { name: "Fetch" }).click();
        await problem.getByText(words).last().waitFor();
        await problem.getByRole("link", { name: code }).waitFor();
      }
      await chooser(page).setInputFiles(file(picture));
      await local.getByText("512 numbers").waitFor();
    });
  });
});

describe.if(chromium !== undefined)("where the service or a model is not there", () => {
  test("a service that does not answer is told as such, and tried again when asked", async () => {
    await visit({ expectsErrors: true }, async (page) => {
      await page.route("**/embeddings*", (route) => route.abort("connectionrefused"));
      await chooser(page).setInputFiles(file(picture));
      await page.getByText("There is no answer. It is tried again soon.").waitFor();
      await page.getByText("check that it still runs").waitFor();
      await page.unroute("**/embeddings*");
      await page.getByRole("button", { name: "Try again" }).click();
      await card(page, "clip-ViT-B-32").getByText("512 numbers").waitFor();
    });
  });

  test("a model that fails leaves the other its vector, and tells when another try makes sense", async () => {
    await visit({}, async (page) => {
      const problem = {
        ...{ title: "NVIDIA's quota is used up", status: 503, code: "upstream-rate-limited" },
        detail: "NVIDIA takes no more requests for now.",
      };
      const vector = await vectorOf(picture);
      const results = [
        { model: "clip-ViT-B-32@synthetic", dimensions: 512, vector },
        { model: "nv-dinov2", problem },
      ];
      await page.route("**/embeddings*", (route) =>
        route.fulfill({ json: { status: "success", sha256: "", results } }),
      );
      await chooser(page).setInputFiles(file(picture));
      await card(page, "clip-ViT-B-32").getByText("512 numbers").waitFor();
      const hosted = card(page, "nv-dinov2");
      await hosted.getByText("NVIDIA takes no more requests for now.").waitFor();
      await page.unroute("**/embeddings*");
      await hosted.getByRole("button", { name: "Try again" }).click();
      await hosted.getByText("1536 numbers").waitFor();
    });
  });

  test("while the weights come the page says how far they are, and embeds what waits by itself", async () => {
    const why = "The weights are being downloaded: 210 of 605 MB, about 40 s left.";
    let state = "loading";
    const before = async (page: Page) => {
      await page.route("**/readyz", async (route) => {
        const models = [{ id: "clip-ViT-B-32@synthetic", state, why }];
        await route.fulfill({ status: 503, json: { models } });
      });
    };
    await visit({ before, expectsErrors: true }, async (page, { requests }) => {
      await page.getByText(why).waitFor();
      await page.getByText("You can bring a picture already").waitFor();
      await chooser(page).setInputFiles(file(picture));
      await page.getByText("embedded as soon as the model is there").waitFor();
      expect(await findAccessBreaches(page)).toEqual([]);
      expect(await page.getByRole("alert").count()).toBe(0);
      expect(requests.filter((url) => url.endsWith("/embeddings"))).toEqual([]);
      state = "ready";
      await card(page, "clip-ViT-B-32").getByText("512 numbers").waitFor();
    });
  });

  test("no banner stands over real weights", async () => {
    const models = [{ id: "clip-ViT-B-32", state: "ready" }];
    const before = async (page: Page) => {
      await page.route("**/readyz", (route) =>
        route.fulfill({ json: { status: "ready", models } }),
      );
    };
    await visit({ before }, async (page) => {
      await page.locator(".models", { hasText: "clip-ViT-B-32 ready" }).waitFor();
      expect(await page.getByText("These vectors mean nothing.").count()).toBe(0);
    });
  });
});

async function runInShell(line: string): Promise<{
  readonly vector: readonly number[];
  readonly embedding: readonly number[];
}> {
  const run = Bun.spawn(["sh", "-c", line], { cwd: folder, stdout: "pipe", stderr: "ignore" });
  return JSON.parse(await run.stdout.text());
}

/** Where SCREENSHOTS is set, takes the pictures of the documentation anew. */
async function savePicture(page: Page, name: string): Promise<void> {
  if (!Bun.env["SCREENSHOTS"]) return;
  await page.screenshot({ path: join(repositoryRoot, "docs", name) });
}
