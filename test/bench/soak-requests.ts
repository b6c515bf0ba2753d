/** Every kind of request that a service gets in its life, good and bad, and of clients that leave. */
import { connect } from "node:net";
import { misbehave, type NvidiaFake } from "../support/nvidia-fake.ts";
import type { Bytes } from "../support/pictures.ts";
import { multipartType, uploadBody, uploadRequest } from "./upload.ts";

/** What requests are made from. */
export interface SoakParts {
  readonly service: URL;
  /** Base of the URLs under which pictures can be fetched, each name another picture. */
  readonly pictures: URL;
  readonly nvidia: NvidiaFake;
  readonly nextPhoto: () => Bytes;
}

/** One kind of request. */
export interface SoakRequest {
  readonly name: string;
  /** How often it comes, as a share of all shares. */
  readonly share: number;
  /** What may be answered: full houses beside what is right. */
  readonly statuses: readonly number[];
  /** Images, and texts, that CLIP embeds for it; none unless it says so. */
  readonly images?: number;
  readonly texts?: number;
  /** Sends it and reads the answer. @returns its status; undefined where the client leaves. */
  send(): Promise<number | undefined>;
}

const hugeBytes = 25 * 1024 * 1024;
/** Status of a full house. */
export const full = 503;

/** Makes them: 5 % are bad, and 5 % leave. */
export function createSoakRequests(parts: SoakParts): readonly SoakRequest[] {
  return [...goodRequests(parts), ...badRequests(parts), ...leavingClients(parts)];
}

/** What CLIP can do in a second, of one or of the other. */
export interface ClipCapacity {
  readonly imagesPerS: number;
  readonly textsPerS: number;
}

/**
 * Requests a second of the whole mix that take all of CLIP's capacity. What CLIP does not embed counts as
 * nothing: NV-DINOv2, bad requests, clients that leave early, and the docs come on top.
 */
export function capacityOfMix(
  requests: readonly Pick<SoakRequest, "share" | "images" | "texts">[],
  { imagesPerS, textsPerS }: ClipCapacity,
): number {
  const requestsInAll = requests.reduce((sum, { share }) => sum + share, 0);
  const seconds = requests.reduce(
    (sum, { share, images = 0, texts = 0 }) =>
      sum + share * (images / imagesPerS + texts / textsPerS),
    0,
  );
  return requestsInAll / seconds;
}

function goodRequests({ service, pictures, nvidia, nextPhoto }: SoakParts): SoakRequest[] {
  const { json, upload, get, form } = createSender(service);
  const clip = "?model=clip-ViT-B-32";
  const base64 = () => Buffer.from(nextPhoto()).toString("base64");
  let fetched = 0;
  const pictureUrl = () => new URL(`/${fetched++}.jpg`, pictures).href;
  const statuses = [200, full];
  return [
    { name: "upload", share: 36, statuses, images: 1, send: () => upload(clip, nextPhoto()) },
    {
      name: "base64",
      share: 10,
      statuses,
      images: 1,
      send: () => json(`/vectorize-image-base64${clip}`, { image_base64: base64() }),
    },
    {
      name: "image URL",
      share: 8,
      statuses,
      images: 1,
      send: () => json(`/vectorize-image${clip}`, { image_url: pictureUrl() }),
    },
    { name: "/upload", share: 8, statuses, images: 1, send: () => form("/upload", pictureUrl()) },
    { name: "NV-DINOv2", share: 8, statuses, send: () => upload("", nextPhoto()) },
    {
      name: "NV-DINOv2 by base64",
      share: 3,
      statuses,
      send: () => json("/vectorize-image-base64", { image_base64: base64() }),
    },
    {
      name: "NV-DINOv2 in trouble",
      share: 1,
      statuses: [...statuses, 502],
      send: () => {
        nvidia.next(misbehave.pending, misbehave.internalError, misbehave.resetMidBody);
        return upload("", nextPhoto());
      },
    },
    {
      name: "texts",
      share: 6,
      statuses,
      texts: 2,
      send: () => json("/embed-text", { text: ["a dog", "a photo of a cat"] }),
    },
    {
      name: "similarity",
      share: 4,
      statuses,
      images: 1,
      texts: 2,
      send: () => json("/similarity", { image_base64: base64(), texts: ["a dog", "a cat"] }),
    },
    { name: "health", share: 4, statuses: [200], send: () => get("/livez") },
    { name: "docs", share: 2, statuses: [200], send: () => get("/openapi.json") },
  ];
}

function badRequests({ service, nextPhoto }: SoakParts): SoakRequest[] {
  const { json, upload } = createSender(service);
  const clip = "?model=clip-ViT-B-32";
  const half = (bytes: Bytes) => bytes.subarray(0, bytes.length >> 1);
  return [
    {
      name: "half an image",
      share: 1,
      statuses: [422, full],
      send: () => upload(clip, half(nextPhoto())),
    },
    {
      name: "no image",
      share: 1,
      statuses: [415, full],
      send: () =>
        upload(clip, new TextEncoder().encode("<svg xmlns='http://www.w3.org/2000/svg'/>")),
    },
    {
      name: "no such model",
      share: 0.8,
      statuses: [422, full],
      send: () => upload("?model=vgg", nextPhoto()),
    },
    {
      name: "too large",
      share: 0.2,
      statuses: [413, full],
      send: () => upload(clip, new Uint8Array(hugeBytes)),
    },
    {
      name: "private address",
      share: 1,
      statuses: [403, full],
      send: () => json(`/vectorize-image${clip}`, { image_url: "http://10.0.0.1/a.jpg" }),
    },
    {
      name: "broken JSON",
      share: 1,
      statuses: [400, full],
      send: () => json(`/vectorize-image${clip}`, '{"image_url": '),
    },
  ];
}

function leavingClients({ service, nextPhoto }: SoakParts): SoakRequest[] {
  const statuses: readonly number[] = [];
  const request = () => uploadRequest(service, nextPhoto());
  return [
    {
      name: "leaves half-way through its body",
      share: 2,
      statuses,
      send: () => leave(service, request().subarray(0, 4096), 20),
    },
    {
      name: "leaves while it waits",
      share: 2,
      statuses,
      send: () => leave(service, request(), 15),
    },
    {
      name: "leaves without reading its answer",
      share: 1,
      statuses,
      images: 1,
      send: () => leave(service, request(), 1500),
    },
  ];
}

function createSender(service: URL) {
  const send = async (path: string, init: RequestInit = {}): Promise<number> => {
    const response = await fetch(new URL(path, service), init);
    await response.arrayBuffer();
    return response.status;
  };
  const post = (path: string, contentType: string, body: string | Bytes) =>
    send(path, { method: "POST", headers: { "content-type": contentType }, body });
  return {
    get: (path: string) => send(path),
    json: (path: string, body: object | string) =>
      post(path, "application/json", typeof body === "string" ? body : JSON.stringify(body)),
    form: (path: string, imageUrl: string) =>
      send(path, { method: "POST", body: new URLSearchParams({ imageUrl }) }),
    upload: (query: string, image: Uint8Array) =>
      post(`/vectorize-image-upload${query}`, multipartType, uploadBody(image)),
  };
}

/** Sends bytes, reads nothing, and breaks the connection after a while. */
async function leave({ hostname, port }: URL, bytes: Uint8Array, afterMs: number) {
  const socket = connect(Number(port), hostname);
  socket.on("error", () => {});
  socket.pause();
  socket.write(bytes);
  await Bun.sleep(afterMs);
  socket.resetAndDestroy();
  return undefined;
}
