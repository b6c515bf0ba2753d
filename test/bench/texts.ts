import { createClipTokenizer } from "../../src/text/clip-tokenizer.ts";
import { parseVocabulary } from "../../src/text/clip-vocabulary.ts";
import { loadClipMerges } from "../../workers/clip-merges.ts";
import { ascii, type Bytes } from "../support/pictures.ts";
import { clientCount } from "./load.ts";
import { openConnection } from "./open-loop-connection.ts";
import { processorMs } from "./process-usage.ts";
import { referenceShapes, type Speed, startReference } from "./reference.ts";
import { findingRow, findingsHead } from "./report.ts";
import { type Server, startService } from "./server.ts";
import { median, ratios, withRange } from "./statistics.ts";
import { rateOf } from "./throughput.ts";

const rounds = 5;
const roundMs = 3_000;
const warmUpMs = 1_500;
const batches = [8, 16];
const wanted = 0.85;

/** Short ones, as people search for. */
const captions = [
  "a dog on a beach",
  "two dogs in the snow",
  "sunset over the sea",
  "child with a birthday cake",
  "a red bicycle",
  "people at a long table in a garden",
  "a cat asleep on a keyboard",
  "an old church beside a river",
];

/** Texts a second of the whole service, over those of the bare text tower on the same cores. */
export async function* texts(): AsyncGenerator<string> {
  const tokenize = createClipTokenizer(parseVocabulary(await loadClipMerges()));
  const lengths = captions.map((caption) => tokenize(caption).ids.length);
  const { manySessions } = referenceShapes();
  await using reference = await startReference(manySessions, "textTower");
  await using service = await startService("synthetic");
  await using load = startLoad(service);
  await load.pause();
  const bare = batches.map((batch) => ({ batch, speeds: [] as Speed[] }));
  const served: Speed[] = [];
  for (let round = 0; round < rounds; round += 1) {
    for (const { batch, speeds } of bare) {
      speeds.push(await reference.observe(batch, roundMs, lengths));
    }
    served.push(await load.observe(roundMs));
  }
  yield `${clientCount} clients at once (${lengths.join(", ")} tokens), ${rounds} rounds of each in turn: median (least to most)`;
  for (const { batch, speeds } of bare) {
    yield `text tower, ${reference.shape} threads, batches of ${batch}, each of one length: ${show(speeds)}`;
  }
  yield `service: ${show(served)}`;
  yield* findingsHead;
  for (const { batch, speeds } of bare) {
    const compared = ratios(served.map(rateOf), speeds.map(rateOf));
    yield findingRow({
      what: `short texts, ${clientCount} clients, texts/s`,
      measured: withRange(served.map(rateOf), 0),
      reference: `bare text tower, batches of ${batch}, each of one length: ${withRange(speeds.map(rateOf), 0)}`,
      compared: withRange(compared, 2),
      ...(batch === 8 && { wanted: `at least ${wanted}`, isMet: median(compared) >= wanted }),
    });
  }
}

/** Clients that ask for one text after the other, except while something else is measured. */
function startLoad(service: Server) {
  const requests = captions.map((caption) => textRequest(service.url, caption));
  let answered = 0;
  let isStopped = true;
  let clients: Promise<unknown> = Promise.resolve();
  const client = async (_: unknown, start: number) => {
    const connection = await openConnection(service.url);
    for (let sent = start; !isStopped; sent += 1) {
      const { refusal } = await connection.exchange(requests[sent % requests.length] ?? ascii(""));
      if (refusal !== undefined) throw new Error(`the service answered ${refusal}`);
      answered += 1;
    }
    connection.close();
  };
  const resume = () => {
    isStopped = false;
    clients = Promise.all(Array.from({ length: clientCount }, client));
  };
  const pause = async () => {
    isStopped = true;
    await clients;
  };
  const pass = (ms: number) => Promise.race([Bun.sleep(ms), clients]);
  return {
    pause,
    observe: async (forMs: number): Promise<Speed> => {
      resume();
      await pass(warmUpMs);
      answered = 0;
      const startedAt = performance.now();
      const before = await processorMs(service.pid);
      await pass(forMs);
      const count = answered;
      const speed = {
        imagesPerS: (count * 1000) / (performance.now() - startedAt),
        processorMsPerImage: ((await processorMs(service.pid)) - before) / count,
      };
      await pause();
      return speed;
    },
    [Symbol.asyncDispose]: pause,
  };
}

/** `POST /embed-text` as the bytes of HTTP/1.1. */
function textRequest({ host }: URL, text: string): Bytes {
  const body = JSON.stringify({ text });
  const lines = [
    "POST /embed-text HTTP/1.1",
    `Host: ${host}`,
    "Content-Type: application/json",
    `Content-Length: ${body.length}`,
  ];
  return ascii(`${lines.join("\r\n")}\r\n\r\n${body}`);
}

function show(speeds: readonly Speed[]): string {
  const [rates, costs] = [
    speeds.map(({ imagesPerS }) => imagesPerS),
    speeds.map(({ processorMsPerImage }) => processorMsPerImage),
  ];
  return `${withRange(rates, 0)} texts/s, ${median(costs).toFixed(2)} ms of processor time a text`;
}
