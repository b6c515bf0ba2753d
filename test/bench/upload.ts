/** The documented upload, sent with as little work as can be: the load shares the service's cores. */
import { ascii, type Bytes, concat } from "../support/pictures.ts";

const path = "/vectorize-image-upload?model=clip-ViT-B-32";
const boundary = "imagesvc-bench-boundary";
export const multipartType = `multipart/form-data; boundary=${boundary}`;
const head = ascii(
  `--${boundary}\r\nContent-Disposition: form-data; name="file"; filename="photo.jpg"\r\nContent-Type: image/jpeg\r\n\r\n`,
);
const tail = ascii(`\r\n--${boundary}--\r\n`);

/** The body of an upload. */
export function uploadBody(image: Uint8Array): Bytes {
  return concat(head, image, tail);
}

/**
 * Uploads one image to be embedded by CLIP.
 *
 * @param origin of the service.
 */
export function upload(origin: URL, image: Uint8Array): Promise<Response> {
  return post(origin, uploadBody(image));
}

/** The same request as the bytes of HTTP/1.1, for whoever writes them to a socket. */
export function uploadRequest(origin: URL, image: Uint8Array): Uint8Array {
  const lines = [
    `POST ${path} HTTP/1.1`,
    `Host: ${origin.host}`,
    `Content-Type: ${multipartType}`,
    `Content-Length: ${head.length + image.length + tail.length}`,
  ];
  return concat(ascii(`${lines.join("\r\n")}\r\n\r\n`), head, image, tail);
}

/** The same in chunks, so that its length is known only when all of it has come. */
export function uploadInChunks(origin: URL, image: Uint8Array): Promise<Response> {
  return post(origin, new Blob([head, new Uint8Array(image), tail]).stream());
}

function post(origin: URL, body: Uint8Array<ArrayBuffer> | ReadableStream): Promise<Response> {
  const headers = { "content-type": multipartType };
  return fetch(new URL(path, origin), { method: "POST", headers, body });
}

/** @throws Error with the answer's text unless it is a 200. */
export async function mustSucceed(answer: Promise<Response>): Promise<Response> {
  const response = await answer;
  const text = await response.text();
  if (!response.ok) throw new Error(`the service answered ${response.status}: ${text}`);
  return response;
}

/** The `Server-Timing` of an answer. */
export function timingOf({ headers }: Response): string {
  return headers.get("server-timing") ?? "";
}
