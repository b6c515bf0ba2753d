/** A process with a real worker, which is asked what becomes of files that should do no harm. */
import { join } from "node:path";
import { createWorker } from "../../src/backends/pool.ts";
import type { ClipModelFile, ImageBytes, ProblemMessage } from "../../src/backends/protocol.ts";
import { settings } from "../../src/config.ts";
import { problems } from "../../src/errors.ts";
import { sniffFormat } from "../../src/image/signature.ts";
import { workerFiles } from "../../src/native/worker-files.ts";
import { answerQuestions } from "../bench/child.ts";
import { type Bytes, makePng } from "../support/pictures.ts";
import { clipInput, tinyClip, writeTinyClip } from "../support/tiny-clip.ts";

/** A file. */
export type TrialQuestion = Bytes;

/** One sentence about the rule that was broken, if one was, and what became of the file. */
export interface TrialAnswer {
  readonly fault?: string;
  /** `vector`, or a problem's code. */
  readonly verdict: string;
}

const decode = { maxPixels: settings.MAX_PIXELS.fallback, orientation: "apply" } as const;
const maxBase64Chars = 179_999;
const { dimensions } = tinyClip;
const [folder = ""] = Bun.argv.slice(2);

const worker = createWorker(workerFiles);
const model: ClipModelFile = {
  ...{ imageTower: (await writeTinyClip(folder)).imageTower, dimensions, threads: 1 },
  ...{ side: tinyClip.vision.side, mean: clipInput.mean, std: clipInput.std },
};
await worker.run({ kind: "warm-up", model });
const bystander = await makePng();
const [bystanderAlone] = await embed(bystander.slice());

answerQuestions<TrialQuestion, TrialAnswer>(async (bytes) => {
  try {
    return await judge(bytes);
  } catch (error) {
    await worker.run({ kind: "warm-up", model });
    return { verdict: "thrown", fault: `the worker threw: ${error}` };
  }
});

/** Lets the worker embed and prepare a file, and holds what it answers to the rules. */
async function judge(bytes: TrialQuestion): Promise<TrialAnswer> {
  const path = join(folder, "image");
  await Bun.write(path, bytes);
  const sha256 = Bun.SHA256.hash(bytes, "hex");

  const [embedded, beside] = await embed(bytes.slice(), bystander.slice());
  const prepared = await worker.run({
    ...{ kind: "prepare-upstream", decode, maxBase64Chars },
    image: { kind: "file", path },
  });
  const { isWarm } = await worker.run({ kind: "ping" });

  const verdict = verdictOf(embedded?.result);
  const faults = [
    refusalFault(embedded?.result),
    refusalFault(prepared.result),
    verdict === verdictOf(prepared.result)
      ? undefined
      : `from memory it is ${verdict}, from a file ${verdictOf(prepared.result)}`,
    Bun.deepEquals(beside?.result, bystanderAlone?.result)
      ? undefined
      : "another picture of the batch got another vector",
    embedded?.bytes !== undefined && Bun.SHA256.hash(embedded.bytes, "hex") === sha256
      ? undefined
      : "its bytes came back changed",
    embedded !== undefined && "vector" in embedded.result
      ? vectorFault(embedded.result.vector)
      : undefined,
    "image" in prepared.result ? await preparedFault(prepared.result) : undefined,
    isWarm ? undefined : "the worker has lost its model",
  ];
  const fault = faults.find((one) => one !== undefined);
  return { verdict, ...(fault === undefined ? {} : { fault }) };
}

function embed(...images: readonly Bytes[]) {
  const inMemory = images.map((bytes): ImageBytes => ({ kind: "memory", bytes }));
  return worker.run({ kind: "embed-images", images: inMemory, decode });
}

type Result = object | { readonly problem: ProblemMessage };

function verdictOf(result: Result | undefined): string {
  return result !== undefined && "problem" in result ? result.problem.code : "vector";
}

/** A file is refused by a problem of the caller's. */
function refusalFault(result: Result | undefined): string | undefined {
  if (result === undefined) return "there was no answer";
  if (!("problem" in result)) return undefined;
  const { code, cause } = result.problem;
  return problems[code].status < 500 ? undefined : `it is an ${code}: ${cause}`;
}

function vectorFault(vector: Float32Array): string | undefined {
  const isSound = vector.length === dimensions && vector.every(Number.isFinite);
  return isSound ? undefined : `its vector is ${vector}`;
}

/** What goes to the hosted model is a picture, and one that fits. */
async function preparedFault(prepared: { readonly image: Bytes; readonly mime: string }) {
  const { image, mime } = prepared;
  const format = sniffFormat(image);
  if (mime !== (format === "jpg" ? "image/jpeg" : "image/png")) return `${mime} is ${format}`;
  if (image.length > (maxBase64Chars / 4) * 3) return `${image.length} bytes were prepared`;
  const [again] = await embed(image);
  const verdict = verdictOf(again?.result);
  return verdict === "vector" ? undefined : `what was prepared is ${verdict}`;
}
