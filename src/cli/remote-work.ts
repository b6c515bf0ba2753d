/** Images and texts that a running service embeds. */
import { basename } from "node:path";
import { Problem } from "../errors.ts";
import { openFile } from "../sources/file.ts";
import type { ImageSource } from "../sources/source.ts";
import { type OutcomeOptions, toOutcome, type Work } from "./embed-outcome.ts";
import { RemoteError, type RemoteService } from "./remote-service.ts";

/** What a service does for `imagesvc embed`. */
interface RemoteOptions extends OutcomeOptions {
  readonly service: RemoteService;
}

const isFatal = (error: unknown) => error instanceof RemoteError;

/**
 * Asks which model the service answers with where none is named: its own before any that is hosted elsewhere.
 *
 * @throws RemoteError where it cannot be asked, or is no imagesvc.
 */
export async function defaultModelOf(service: RemoteService): Promise<string> {
  const asked = await service.ask({ path: "readyz" });
  if (asked instanceof Problem) throw new RemoteError(asked.message);
  const models = fieldOf(asked.answer, "models");
  const id = Array.isArray(models) ? fieldOf(models[0], "id") : undefined;
  if (typeof id === "string") return id;
  throw new RemoteError("--remote leads to something that is no imagesvc: check its address");
}

/**
 * Makes what has one image embedded: a file is uploaded, a URL is fetched by the service.
 *
 * @param maxImageBytes most bytes of a file.
 */
export function createRemoteImageWork(
  { service, ...options }: RemoteOptions,
  maxImageBytes: number,
): Work<ImageSource> {
  const query = queryOf(options);
  const work = async (source: ImageSource) => {
    const request = await requestFor(source, maxImageBytes);
    if (request instanceof Problem) return request;
    const asked = await service.ask({ ...request, query });
    if (asked instanceof Problem) return asked;
    const { answer } = asked;
    const sha256 = /^[0-9a-f]{64}/.exec(String(fieldOf(answer, "saved_as")))?.[0];
    return { ...readVector(answer, "vector"), ...(sha256 && { sha256 }) };
  };
  return (listed) => toOutcome(listed, options, work, isFatal);
}

async function requestFor(source: ImageSource, maxImageBytes: number) {
  if (source.kind === "url") {
    const body = JSON.stringify({ image_url: source.url });
    return { path: "vectorize-image", body: () => ({ body, type: "application/json" }) };
  }
  if (source.kind !== "file") throw new TypeError(`there is no request for a ${source.kind}`);
  const { path } = source;
  const opened = await openFile(path, maxImageBytes).catch((error: unknown) => {
    if (error instanceof Problem) return error;
    throw error;
  });
  if (opened instanceof Problem) return opened;
  return {
    path: "vectorize-image-upload",
    body: () => {
      const form = new FormData();
      form.set("file", Bun.file(path), basename(path));
      return { body: form };
    },
  };
}

/** Makes what has one text embedded. */
export function createRemoteTextWork({ service, ...options }: RemoteOptions): Work<string> {
  const query = queryOf(options);
  const work = async (text: string) => {
    const body = JSON.stringify({ text });
    const made = () => ({ body, type: "application/json" });
    const asked = await service.ask({ path: "embed-text", query, body: made });
    if (asked instanceof Problem) return asked;
    const { answer } = asked;
    return {
      text,
      ...readVector(answer, "vector"),
      truncated: fieldOf(answer, "truncated") === true,
    };
  };
  return (listed) => toOutcome(listed, options, work, isFatal);
}

function queryOf({ model, normalize }: OutcomeOptions) {
  return { model, ...(normalize && { normalize: "true" }) };
}

/** @throws RemoteError where the answer has no vector. */
function readVector(answer: unknown, name: string) {
  const [model, vector] = [fieldOf(answer, "model"), fieldOf(answer, name)];
  if (typeof model === "string" && Array.isArray(vector) && vector.every(Number.isFinite)) {
    return { model, vector: Float32Array.from(vector) };
  }
  throw new RemoteError("the service answers without a vector: check the address of --remote");
}

function fieldOf(answer: unknown, name: string): unknown {
  if (typeof answer !== "object" || answer === null) return undefined;
  return Object.entries(answer).find(([key]) => key === name)?.[1];
}
