/** The generators as a process of their own: `bun test/bench/open-loop-child.ts ORIGIN`. */
import { ascii } from "../support/pictures.ts";
import { answerQuestions } from "./child.ts";
import { runClosedLoop, runOpenLoop } from "./open-loop.ts";
import { openConnection } from "./open-loop-connection.ts";
import { createPhotos } from "./photo.ts";
import { uploadRequest } from "./upload.ts";

/** What it may be asked for. */
export interface LoadQuestion {
  /** 0: so many clients, each of which sends its next image as soon as it has its answer. */
  readonly requestsPerS: number;
  readonly clients: number;
  /** Of each request, to be embedded; 0: each uploads one image. */
  readonly texts: number;
  readonly forMs: number;
  /** Of `forMs` at its start, not counted for goodput; only where a schedule is kept. */
  readonly leadInMs: number;
}

/** Small, so that sending costs little of the cores that the service shares with this process. */
const size = { width: 320, height: 240 };
const maxUnderWay = 2000;
const patienceMs = 70_000;

const origin = new URL(process.argv[2] ?? "");
const nextPhoto = await createPhotos(size);
const connect = () => openConnection(origin);
let made = 0;

/** `POST /embed-text` as the bytes of HTTP/1.1. No text comes twice, so nothing can be remembered. */
function textRequest(count: number): Uint8Array {
  const text = Array.from({ length: count }, () => `a photo of number ${made++}`);
  const body = JSON.stringify({ text });
  const lines = [
    "POST /embed-text HTTP/1.1",
    `Host: ${origin.host}`,
    "Content-Type: application/json",
    `Content-Length: ${body.length}`,
  ];
  return ascii(`${lines.join("\r\n")}\r\n\r\n${body}`);
}

answerQuestions(async ({ requestsPerS, clients, texts, forMs, leadInMs }: LoadQuestion) => {
  const nextRequest = () => (texts === 0 ? uploadRequest(origin, nextPhoto()) : textRequest(texts));
  const options = { connect, nextRequest, forMs };
  return requestsPerS === 0
    ? await runClosedLoop({ ...options, clients })
    : await runOpenLoop({ ...options, requestsPerS, leadInMs, maxUnderWay, patienceMs });
});
