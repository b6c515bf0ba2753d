/** The generators as a process of their own: `bun test/bench/open-loop-child.ts ORIGIN`. */
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
  readonly forMs: number;
}

/** Small, so that sending costs little of the cores that the service shares with this process. */
const size = { width: 320, height: 240 };
const maxUnderWay = 2000;
const patienceMs = 70_000;

const origin = new URL(process.argv[2] ?? "");
const nextPhoto = await createPhotos(size);
const connect = () => openConnection(origin);
const nextRequest = () => uploadRequest(origin, nextPhoto());

answerQuestions(async ({ requestsPerS, clients, forMs }: LoadQuestion) => {
  const options = { connect, nextRequest, forMs };
  return requestsPerS === 0
    ? await runClosedLoop({ ...options, clients })
    : await runOpenLoop({ ...options, requestsPerS, maxUnderWay, patienceMs });
});
