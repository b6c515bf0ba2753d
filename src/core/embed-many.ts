/** The use case: many texts and images become one embedding or one Problem each, in their order. */
import type { ImageBackend, StageTimings, TextBackend } from "../backends/backend.ts";
import { Problem } from "../errors.ts";
import { limits } from "../limits.ts";
import type { Trail } from "../observer.ts";
import type { ImageSource } from "../sources/source.ts";
import type { Ticket } from "./admission.ts";
import { type Embedder, unknownModel } from "./embed.ts";
import type { TextEmbedder } from "./embed-text.ts";
import { costOf } from "./known-images.ts";
import { findModel, findTextModel } from "./model-ids.ts";
import type { Recall } from "./recall.ts";

/** One of many inputs. */
export type ManyInput =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "image"; readonly source: ImageSource }
  /** What is known to be unusable before anything is done for it. */
  | { readonly kind: "unusable"; readonly problem: Problem };

export interface EmbedManyInput {
  /** At least one. */
  readonly inputs: readonly ManyInput[];
  /** A model's id, plain or exact. */
  readonly model: string;
  /** Whether the vectors are scaled to unit length. */
  readonly normalize: boolean;
  /** Whether an input that fails is an outcome; else the first that fails is the end of all. */
  readonly includesFailures: boolean;
  /** Whose request it is, for metrics, traces and the log. */
  readonly trail?: Trail | undefined;
  /** The request's memory, which takes what is fetched for as long as it is needed. */
  readonly memory?: Pick<Ticket, "hold" | "giveBack"> | undefined;
}

/** What a caller gets for many inputs. */
export interface EmbeddedMany {
  /** Exactly what made the vectors. */
  readonly model: string;
  /** Of each input, in their order: float32, [dimensions]; or why there is none. */
  readonly outcomes: readonly (Float32Array | Problem)[];
  /** Tokens that the model read in all texts. */
  readonly tokens: number;
}

/** Why there is nothing for any of many inputs. */
export interface ManyFailure {
  readonly problem: Problem;
  /** The input that it is about; undefined where it is about all. */
  readonly index?: number;
}

export interface ManyEmbedder {
  /** The model that is called so, whatever it takes; or the Problem of one that there is not. */
  find(model: string): ImageBackend | TextBackend | Problem;
  /**
   * Embeds texts and images; no image is kept.
   *
   * @param timings filled in as the stages end: of the slowest input.
   * @throws only what nobody expected, and the signal's reason when the caller left.
   */
  embed(
    input: EmbedManyInput,
    signal: AbortSignal,
    timings: StageTimings,
  ): Promise<EmbeddedMany | ManyFailure>;
}

interface ManyEmbedderOptions {
  readonly embedder: Pick<Embedder, "backends" | "embed">;
  readonly textEmbedder: Pick<TextEmbedder, "embed">;
  /** Absent where every vector is made anew. */
  readonly recall?: Pick<Recall, "digest" | "find"> | undefined;
  /** The models that `textEmbedder` asks. */
  readonly textBackends: readonly TextBackend[];
  /** ms from the request's last byte to its answer. */
  readonly requestTimeoutMs: number;
}

/** One input of a request, with its place. */
interface Placed<Input> {
  readonly index: number;
  readonly input: Input;
}

/** What an input came to; `model` where something made its vector. */
interface Outcome {
  readonly result: Float32Array | Problem;
  readonly model?: string;
  readonly tokens?: number;
}

/** One request's inputs on their way. */
interface Round extends Pick<ManyEmbedderOptions, "embedder" | "textEmbedder"> {
  readonly texts: readonly Placed<string>[];
  readonly images: readonly Placed<ImageSource>[];
  /** By their places. */
  readonly outcomes: Map<number, Outcome>;
  /** What is asked of each. */
  readonly asked: Pick<EmbedManyInput, "model" | "normalize" | "trail"> & {
    readonly deadline: number;
  };
  readonly memory: EmbedManyInput["memory"];
  /** Aborts when the caller leaves, or when one failure is the end of all: all inputs are one caller's. */
  readonly signal: AbortSignal;
  readonly timings: StageTimings;
  /** Takes a failure: as an outcome, or as the end of all. */
  readonly fail: (problem: Problem, indices: readonly number[]) => void;
}

/** Makes the use case from the two that it is a loop over. */
export function createManyEmbedder(options: ManyEmbedderOptions): ManyEmbedder {
  const { embedder, textEmbedder, textBackends, requestTimeoutMs } = options;

  function find(model: string): ImageBackend | TextBackend | Problem {
    const { backends } = embedder;
    const found = findModel(backends, model) ?? findTextModel(textBackends, model);
    return found ?? unknownModel(model, backends);
  }

  /** What is known to be wrong with an input before anything is done. */
  function faultOf(input: ManyInput, model: string): Problem | undefined {
    if (input.kind === "unusable") return input.problem;
    const isText = input.kind === "text";
    const served = isText
      ? findTextModel(textBackends, model)
      : findModel(embedder.backends, model);
    if (served !== undefined) return undefined;
    const [takes, not] = isText ? ["images", "texts"] : ["texts", "images"];
    const detail = `The model ${model} embeds ${takes}, but no ${not}: send another input, or ask for another model.`;
    return new Problem("validation-failed", detail);
  }

  /** The first of what is known to be wrong before anything is done. */
  function failureOf({ inputs, model, includesFailures }: EmbedManyInput): ManyFailure | undefined {
    const found = find(model);
    if (found instanceof Problem) return { problem: found };
    if (includesFailures) return undefined;
    const faults = inputs.map((one) => faultOf(one, model));
    const index = faults.findIndex((fault) => fault !== undefined);
    const problem = faults[index];
    return problem && { problem, index };
  }

  async function embed(
    input: EmbedManyInput,
    signal: AbortSignal,
    timings: StageTimings,
  ): Promise<EmbeddedMany | ManyFailure> {
    const { inputs, model, normalize, includesFailures, memory, trail } = input;
    const deadline = performance.now() + requestTimeoutMs;
    const known = failureOf(input);
    if (known !== undefined) return known;
    const outcomes = new Map<number, Outcome>();
    const { texts, images } = sorted(inputs, (one) => faultOf(one, model), outcomes);
    const textBackend = findTextModel(textBackends, model);
    const refused =
      texts.length > 0 && textBackend?.admission({ kind: "text", inputs: texts.length, deadline });
    if (refused) return { problem: refused };
    const admitted = await admitImages(options, model, images, deadline);
    if (admitted instanceof Problem) return { problem: admitted };
    const end = new AbortController();
    let failure: ManyFailure | undefined;
    const fail: Round["fail"] = (problem, indices) => {
      if (includesFailures) for (const index of indices) outcomes.set(index, { result: problem });
      else {
        const [index] = indices;
        failure ??= { problem, ...(indices.length === 1 && index !== undefined && { index }) };
        end.abort();
      }
    };
    const round: Round = {
      ...{ texts, images: admitted },
      asked: { model, normalize, deadline, trail },
      signal: AbortSignal.any([signal, end.signal]),
      ...{ embedder, textEmbedder, outcomes, memory, timings, fail },
    };
    try {
      await run(round);
    } catch (error) {
      // What was ended because another failed says nothing.
      if (failure === undefined) throw error;
    } finally {
      end.abort();
    }
    signal.throwIfAborted();
    return failure ?? summed(input, outcomes);
  }

  return { find, embed };
}

/** The images, where they are taken together now; or why nothing is begun. */
async function admitImages(
  { embedder, recall }: Pick<ManyEmbedderOptions, "embedder" | "recall">,
  model: string,
  images: Round["images"],
  deadline: number,
): Promise<Round["images"] | Problem> {
  const backend = findModel(embedder.backends, model);
  if (backend === undefined || images.length === 0) return images;
  const refusal = (inputs: number) => backend.admission({ kind: "image", inputs, deadline });
  const refused = refusal(images.length);
  if (refused?.code !== "upstream-rate-limited" || recall === undefined) return refused ?? images;
  // Those that were here before cost nothing.
  const cost = await costOf(
    images.map(({ input }) => input),
    backend,
    recall,
  );
  const problem = refusal(cost.calls);
  if (problem !== undefined) return problem;
  return images.map(({ index, input }, at) => ({ index, input: cost.sources[at] ?? input }));
}

async function embedImage(round: Round, { index, input: source }: Placed<ImageSource>) {
  const { asked, embedder, memory, outcomes, signal, timings } = round;
  signal.throwIfAborted();
  const own: StageTimings = {};
  let heldBytes = 0;
  const hold = (bytes: number) => {
    memory?.hold(bytes);
    heldBytes += bytes;
  };
  try {
    const embedded = await embedder.embed({ ...asked, source, keep: false, hold }, signal, own);
    if (embedded instanceof Problem) round.fail(embedded, [index]);
    else outcomes.set(index, { result: embedded.vector, model: embedded.model });
  } finally {
    memory?.giveBack(heldBytes);
    addSlowest(timings, own);
  }
}

/** They share batches, and what befalls one of them befalls all. */
async function embedTexts(round: Round) {
  const { asked, texts, textEmbedder, outcomes, signal, timings, fail } = round;
  if (texts.length === 0) return;
  const own: StageTimings = {};
  const all = { ...asked, texts: texts.map(({ input }) => input) };
  const embedded = await textEmbedder.embed(all, signal, own);
  addSlowest(timings, own);
  if (embedded instanceof Problem) {
    return fail(
      embedded,
      texts.map(({ index }) => index),
    );
  }
  const { vectors, model, tokens } = embedded;
  for (const [row, { index }] of texts.entries()) {
    const result = vectors[row];
    if (result === undefined) throw new Error("a text has no vector");
    outcomes.set(index, { result, model, tokens: tokens[row] ?? 0 });
  }
}

async function run(round: Round): Promise<void> {
  const { images } = round;
  const isFetched = ({ input: { kind } }: Placed<ImageSource>) => kind === "url";
  const embed = (one: Placed<ImageSource>) => embedImage(round, one);
  const fetched = images.filter(isFetched);
  const brought = images.filter((one) => !isFetched(one));
  await Promise.all([
    embedTexts(round),
    forEach(fetched, limits.maxFetchedUnderWay, embed),
    forEach(brought, limits.maxImagesUnderWay, embed),
  ]);
}

/** Parts texts and images; what is known to fail is an outcome already. */
function sorted(
  inputs: readonly ManyInput[],
  faultOf: (input: ManyInput) => Problem | undefined,
  outcomes: Map<number, Outcome>,
): Pick<Round, "texts" | "images"> {
  const texts: Placed<string>[] = [];
  const images: Placed<ImageSource>[] = [];
  for (const [index, input] of inputs.entries()) {
    const fault = faultOf(input);
    if (fault !== undefined) outcomes.set(index, { result: fault });
    else if (input.kind === "text") texts.push({ index, input: input.text });
    else if (input.kind === "image") images.push({ index, input: input.source });
  }
  return { texts, images };
}

/** Names the model as it was asked for where no input has a vector. */
function summed(
  { inputs, model: asked, trail }: EmbedManyInput,
  outcomes: ReadonlyMap<number, Outcome>,
): EmbeddedMany {
  const all = inputs.map((_, index) => outcomes.get(index) ?? missing());
  for (const { result } of all) if (result instanceof Problem) trail?.noteFailure(result.code);
  return {
    model: all.find(({ model }) => model !== undefined)?.model ?? asked,
    outcomes: all.map(({ result }) => result),
    tokens: all.reduce((sum, { tokens = 0 }) => sum + tokens, 0),
  };
}

function missing(): never {
  throw new Error("an input has no outcome");
}

/** Does something for each item, for so many at once; the first error ends it. */
async function forEach<Item>(
  items: readonly Item[],
  maxUnderWay: number,
  work: (item: Item) => Promise<void>,
): Promise<void> {
  const left = items.values();
  const lane = async () => {
    for (const item of left) await work(item);
  };
  await Promise.all(Array.from({ length: Math.min(maxUnderWay, items.length) }, lane));
}

function addSlowest(timings: StageTimings, own: StageTimings): void {
  for (const stage of ["fetch", "cache", "decode", "queue", "infer", "upstream"] as const) {
    const ms = Math.max(timings[stage] ?? 0, own[stage] ?? 0);
    if (ms > 0) timings[stage] = ms;
  }
}
