import { clientCount, type Observed, startLoad } from "./load.ts";
import { createPhotos, photoSize } from "./photo.ts";
import { referenceShapes, type Speed, startReference } from "./reference.ts";
import { startService } from "./server.ts";
import { median, withRange } from "./statistics.ts";

const rounds = 5;
const batch = 8;
const referenceMs = 3000;
const loadMs = 6000;

/** Images a second of the whole service, over those of bare onnxruntime on the same cores. */
export async function* throughput(): AsyncGenerator<string> {
  const nextPhoto = await createPhotos();
  const { oneSession, manySessions } = referenceShapes();
  await using one = await startReference(oneSession);
  await using many = await startReference(manySessions);
  await using service = await startService("synthetic");
  const references = [one, many].map((reference) => ({ reference, speeds: [] as Speed[] }));
  const served: Observed[] = [];
  for (let round = 0; round < rounds; round += 1) {
    for (const { reference, speeds } of references) {
      speeds.push(await reference.observe(batch, referenceMs));
    }
    await using load = await startLoad(service, nextPhoto);
    served.push(await load.observe(loadMs));
  }
  const photo = `${photoSize.width}×${photoSize.height} JPEG, ${nextPhoto().length >> 10} KiB`;
  yield `${clientCount} clients at once (${photo}), ${rounds} rounds of each in turn: median (least to most)`;
  for (const { reference, speeds } of references) {
    yield `onnxruntime, ${reference.shape} threads, batches of ${batch}: ${show(speeds)}`;
  }
  yield `service: ${show(served)}`;
  const [faster = []] = references
    .map(({ speeds }) => speeds)
    .sort((a, b) => median(b.map(rateOf)) - median(a.map(rateOf)));
  yield `service / faster onnxruntime, images/s: ${ratios(served, faster, rateOf)}; wanted: at least 0.92`;
  yield `the same by processor time, which other programs hardly change: ${ratios(faster, served, costOf)}`;
  yield `ms of an image by stage, median: ${stageMedians(served)}`;
}

function rateOf({ imagesPerS }: Speed): number {
  return imagesPerS;
}

function costOf({ processorMsPerImage }: Speed): number {
  return processorMsPerImage;
}

/** One set of speeds over another, round by round. */
function ratios(over: readonly Speed[], under: readonly Speed[], of: (speed: Speed) => number) {
  const each = over.flatMap((speed, round) => {
    const other = under[round];
    return other === undefined ? [] : [of(speed) / of(other)];
  });
  return withRange(each, 2);
}

function show(speeds: readonly Speed[]): string {
  const [rates, costs] = [speeds.map(rateOf), speeds.map(costOf)];
  return `${withRange(rates, 1)} images/s, ${withRange(costs, 1)} ms of processor time an image`;
}

function stageMedians(observed: readonly Observed[]): string {
  const names = [...(observed[0]?.stagesMs.keys() ?? [])];
  return names
    .map((name) => {
      const values = observed.flatMap(({ stagesMs }) => stagesMs.get(name) ?? []);
      return `${name} ${median(values).toFixed(1)}`;
    })
    .join(", ");
}
