/** `imagesvc models verify`: whether a model on this host gives the numbers that it should. */
import { join } from "node:path";
import type { Backend } from "../backends/backend.ts";
import type { Worker } from "../backends/pool.ts";
import { proxyOf } from "../config.ts";
import { catalog, type Models } from "../models/catalog.ts";
import { goldenPictures } from "../models/golden-inputs.ts";
import { obtainPicture } from "../models/golden-pictures.ts";
import {
  findServedWeights,
  hasExport,
  type InstalledModel,
  type Precision,
} from "../models/installed-model.ts";
import { parseFetchAllow } from "../net/fetch-allow.ts";
import { bypassesProxy } from "../net/no-proxy.ts";
import { isFolder } from "../sources/folder.ts";
import { fetchThroughProxy } from "../sources/proxied-fetch.ts";
import { createUrlSource } from "../sources/url.ts";
import type { CommandCall } from "./command-call.ts";
import { type ComposeParts, withLoadedModel } from "./loaded-model.ts";
import { chosenModel } from "./local-models.ts";
import { type Check, leftOut } from "./verify/check.ts";
import { checkFiles } from "./verify/file-checks.ts";
import { checkInputs, type FoundPictures } from "./verify/input-checks.ts";
import { checkInt8 } from "./verify/int8-checks.ts";
import { renderChecks } from "./verify/render-checks.ts";
import { checkVectors, embedPictures, type ModelInUse } from "./verify/vector-checks.ts";

/** What runs a model. */
export interface VerifyTools {
  /** Puts the parts together that serve a model, in whichever precision the settings name. */
  readonly compose: (id: string, precision: Precision) => ComposeParts;
  /** Starts a worker that holds no model. */
  readonly createWorker: () => Worker;
}

/**
 * Checks the files of a model, how its input is prepared, and its vectors.
 *
 * @param tools without them only files are looked at.
 * @returns 0, 1 when something is wrong or nothing of the model is here, 2 for wrong usage, 130 when interrupted.
 */
export async function runModelsVerify(
  call: CommandCall,
  models: Models = catalog,
  tools?: VerifyTools,
): Promise<number> {
  const model = chosenModel(call, models);
  if (model === undefined) return 2;
  const folder = call.options.get("pictures");
  if (typeof folder === "string" && !(await isFolder(folder))) {
    call.tell(`imagesvc: models verify: "${folder}" is no folder: check its path`);
    return 2;
  }
  const isSynthetic = call.config.CLIP_WEIGHTS === "synthetic";
  call.tell(`checking the files of ${model.id}`);
  const files = isSynthetic ? [] : await checkFiles(call, model);
  const checks = [...files];
  if (tools !== undefined) {
    const found = await obtainPictures(call, folder === true ? undefined : folder);
    checks.push(...(await checkPreparation(call, model, tools, found)));
    checks.push(...(await runModel(call, model, tools, found)));
  }
  if (call.interrupted.aborted) return 130;
  const json = () => checks.map(({ numbers, ...check }) => ({ ...check, ...numbers }));
  await call.print(
    call.options.has("json") ? `${JSON.stringify(json(), null, 2)}\n` : renderChecks(checks),
  );
  if (checks.some(({ verdict }) => verdict === "wrong")) return 1;
  if (isSynthetic || files.some(({ verdict }) => verdict === "right")) return 0;
  const { id } = model;
  call.tell(
    `imagesvc: ${id} is not on this host: imagesvc models pull ${id}, or models import DIR`,
  );
  return 1;
}

/**
 * Gets every golden picture that is to be had: through the proxy where there is one, as their URLs are ours and
 * fixed; else they are fetched as images of strangers are.
 */
async function obtainPictures(
  { config, folders, interrupted, tell }: CommandCall,
  folder: string | undefined,
): Promise<FoundPictures> {
  const { FETCH_TIMEOUT_MS: fetchTimeoutMs } = config;
  // MAX_IMAGE_BYTES is for images of strangers, and may be less than these have.
  const maxImageBytes = Math.max(...goldenPictures.map(({ bytes }) => bytes));
  const allow = parseFetchAllow(config.FETCH_ALLOW);
  const source = createUrlSource({ fetchTimeoutMs, maxImageBytes, allow });
  const proxy = proxyOf(config);
  const fetchImage = async (url: string, signal: AbortSignal) => {
    tell(`fetching ${url}`);
    if (proxy === undefined || bypassesProxy(new URL(url), proxy.noProxy)) {
      return await source.open(url, signal);
    }
    const bounds = { timeoutMs: fetchTimeoutMs, maxBytes: maxImageBytes };
    return await fetchThroughProxy(url, { proxy: proxy.url, ...bounds }, signal);
  };
  const places = {
    folder,
    cache: join(folders.cache, "golden"),
    fetchImage: config.HF_HUB_OFFLINE ? undefined : fetchImage,
  };
  const found = goldenPictures.map(
    async (picture) => [picture.name, await obtainPicture(places, picture, interrupted)] as const,
  );
  return new Map(await Promise.all(found));
}

async function checkPreparation(
  { config, tell }: CommandCall,
  { preprocessing }: InstalledModel,
  { createWorker }: VerifyTools,
  found: FoundPictures,
): Promise<readonly Check[]> {
  tell("checking how pictures and texts are prepared");
  const decode = { maxPixels: config.MAX_PIXELS, orientation: config.EXIF_ORIENTATION };
  const worker = createWorker();
  try {
    return await checkInputs(worker, decode, preprocessing, found);
  } finally {
    await worker.close();
  }
}

/** Runs the model, where that takes no download. */
async function runModel(
  call: CommandCall,
  model: InstalledModel,
  { compose }: VerifyTools,
  found: FoundPictures,
): Promise<readonly Check[]> {
  const what = `${model.id}, vectors`;
  const isSynthetic = call.config.CLIP_WEIGHTS === "synthetic";
  const isHere = (await findServedWeights(model)) !== undefined || (await hasExport(model));
  if (!isSynthetic && !isHere) return [leftOut(what, "the weights are not on this host")];
  call.tell(`running ${model.id}`);
  const checks: Check[] = [];
  const isInt8 = call.config.CLIP_PRECISION === "int8";
  let fp32: ReadonlyMap<string, Float32Array> = new Map();
  const run = async (
    precision: Precision,
    use: (own: Backend, asked: ModelInUse) => Promise<void>,
  ) =>
    await withLoadedModel(
      call,
      compose(model.id, precision),
      model.id,
      async (parts, own, stop) => {
        const { embedder, textEmbedder } = parts;
        await use(own, { embedder, textEmbedder, model: own.id, stop });
        return 0;
      },
    );
  const code = await run("fp32", async (own, asked) => {
    checks.push(...unknownValues(model, own));
    checks.push(...(await checkVectors(asked, goldenOf(model, own), found)));
    if (isInt8) fp32 = (await embedPictures(asked, found)).vectors;
  });
  if (code !== 0) return [{ what, verdict: "wrong", found: "the model could not be run" }];
  if (!isInt8) return checks;
  const isPairAlone = !isSynthetic && (await findServedWeights(model)) === undefined;
  if (isPairAlone) {
    return [...checks, leftOut("int8 against fp32", "an ONNX pair is served, in fp32 only")];
  }
  call.tell(`running ${model.id} in int8`);
  const int8Code = await run("int8", async (_, asked) => {
    checks.push(...(await checkInt8(asked, fp32, found)));
  });
  if (int8Code === 0) return checks;
  return [
    ...checks,
    { what: `${what} in int8`, verdict: "wrong", found: "the model could not be run" },
  ];
}

/** What is known of the weights that are loaded. */
function goldenOf({ id, golden }: InstalledModel, { exactId }: Backend) {
  if (exactId === id) return golden?.published;
  return exactId === `${id}@synthetic` ? golden?.synthetic : undefined;
}

function unknownValues(model: InstalledModel, own: Backend): readonly Check[] {
  if (own.exactId === `${model.id}@synthetic`) {
    return [
      leftOut("published values", "the weights are synthetic, and their vectors mean nothing"),
    ];
  }
  if (goldenOf(model, own) !== undefined) return [];
  const why =
    own.exactId === model.id ? "nobody's are known of this model" : "the weights are your own";
  return [leftOut("published values", why)];
}
