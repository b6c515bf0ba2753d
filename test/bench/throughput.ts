import { clientCount, type Observed, stageMedians, startLoad, warmUp } from "./load.ts";
import { createPhotos, photoSize } from "./photo.ts";
import { referenceShapes, type Speed, startReference } from "./reference.ts";
import { findingRow, findingsHead } from "./report.ts";
import { startService } from "./server.ts";
import { highest, median, ratios, withRange } from "./statistics.ts";

const rounds = 7;
const batch = 8;
const referenceMs = 2000;
const loadMs = 6000;
const wanted = 0.92;

/** Images a second of the whole service, over those of bare onnxruntime on the same cores. */
export async function* throughput(): AsyncGenerator<string> {
  const nextPhoto = await createPhotos();
  const { oneSession, manySessions } = referenceShapes();
  await using one = await startReference(oneSession);
  await using many = await startReference(manySessions);
  await using plain = await startReference(manySessions, "plainImageTower");
  await using service = await startService("synthetic");
  const references = [one, many].map((reference) => ({ reference, speeds: [] as Speed[] }));
  const plainSpeeds: Speed[] = [];
  const served: Observed[] = [];
  await warmUp(service, nextPhoto);
  for (let round = 0; round < rounds; round += 1) {
    for (const { reference, speeds } of references) {
      speeds.push(await reference.observe(batch, referenceMs));
    }
    plainSpeeds.push(await plain.observe(batch, referenceMs));
    await using load = await startLoad(service, nextPhoto);
    served.push(await load.observe(loadMs));
  }
  const photo = `${photoSize.width}×${photoSize.height} JPEG, ${nextPhoto().length >> 10} KiB`;
  yield `${clientCount} clients at once (${photo}), ${rounds} rounds of each in turn: median (least to most)`;
  for (const { reference, speeds } of references) {
    yield `onnxruntime, ${reference.shape} threads, batches of ${batch}: ${show(speeds)}`;
  }
  yield `onnxruntime, ${plain.shape} threads, batches of ${batch}, the graph as exporters write it: ${show(plainSpeeds)}`;
  yield `service: ${show(served)}`;
  yield `clients, on the same cores: ${withRange(served.map(clientCostOf), 2)} ms of processor time an image`;
  const faster = highest(references, ({ speeds }) => speeds.map(rateOf))?.speeds ?? [];
  const ofRates = ratios(served.map(rateOf), faster.map(rateOf));
  const ofCosts = ratios(faster.map(costOf), served.map(costOf));
  yield `ms of an image by stage, median: ${stageMedians(allStages(served))}`;
  yield* findingsHead;
  yield findingRow({
    what: `${clientCount} clients at once, JPEG ${photoSize.width}×${photoSize.height}, images/s`,
    measured: withRange(served.map(rateOf), 1),
    reference: `bare onnxruntime, batches of ${batch}, the faster division of the cores: ${withRange(faster.map(rateOf), 1)}`,
    compared: withRange(ofRates, 2),
    wanted: `at least ${wanted}`,
    isMet: median(ofRates) >= wanted,
  });
  yield findingRow({
    what: "the same, beside the graph as exporters write it, which is what one would run without this service",
    measured: withRange(served.map(rateOf), 1),
    reference: `bare onnxruntime, batches of ${batch}: ${withRange(plainSpeeds.map(rateOf), 1)}`,
    compared: withRange(ratios(served.map(rateOf), plainSpeeds.map(rateOf)), 2),
  });
  yield findingRow({
    what: "the same by processor time, which other programs hardly change, ms an image",
    measured: withRange(served.map(costOf), 1),
    reference: withRange(faster.map(costOf), 1),
    compared: withRange(ofCosts, 2),
  });
}

export function rateOf({ imagesPerS }: Speed): number {
  return imagesPerS;
}

function costOf({ processorMsPerImage }: Speed): number {
  return processorMsPerImage;
}

/** What the clients take of the cores, ms an image. */
export function clientCostOf({ clientMsPerImage }: Observed): number {
  return clientMsPerImage;
}

function show(speeds: readonly Speed[]): string {
  const [rates, costs] = [speeds.map(rateOf), speeds.map(costOf)];
  return `${withRange(rates, 1)} images/s, ${withRange(costs, 1)} ms of processor time an image`;
}

/** The stages of several rounds, put together. */
export function allStages(observed: readonly Observed[]): ReadonlyMap<string, readonly number[]> {
  const names = [...(observed[0]?.stagesMs.keys() ?? [])];
  return new Map(
    names.map((name) => [name, observed.flatMap(({ stagesMs }) => stagesMs.get(name) ?? [])]),
  );
}
