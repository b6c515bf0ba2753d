/** The documented upload, sent with as little work as can be: the load shares the service's cores. */
import { ascii, concat } from "../support/pictures.ts";

const boundary = "imagesvc-bench-boundary";
const head = ascii(
  `--${boundary}\r\nContent-Disposition: form-data; name="file"; filename="photo.jpg"\r\nContent-Type: image/jpeg\r\n\r\n`,
);
const tail = ascii(`\r\n--${boundary}--\r\n`);

/**
 * Uploads one image to be embedded by CLIP.
 *
 * @param origin of the service.
 */
export function upload(origin: URL, image: Uint8Array): Promise<Response> {
  return post(origin, concat(head, image, tail));
}

/** The same in chunks, so that its length is known only when all of it has come. */
export function uploadInChunks(origin: URL, image: Uint8Array): Promise<Response> {
  return post(origin, new Blob([head, new Uint8Array(image), tail]).stream());
}

function post(origin: URL, body: Uint8Array<ArrayBuffer> | ReadableStream): Promise<Response> {
  return fetch(new URL("/vectorize-image-upload?model=clip-ViT-B-32", origin), {
    method: "POST",
    headers: { "content-type": `multipart/form-data; boundary=${boundary}` },
    body,
  });
}

/** @throws Error with the answer's text unless it is a 200. */
export async function mustSucceed(answer: Promise<Response>): Promise<Response> {
  const response = await answer;
  const text = await response.text();
  if (!response.ok) throw new Error(`the service answered ${response.status}: ${text}`);
  return response;
}
