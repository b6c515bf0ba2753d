import { availableParallelism } from "node:os";
import { startReference } from "./reference.ts";

const forMs = 1_200;
const imageBatches = [1, 2, 4, 8, 16];
const texts = [
  { batch: 1, length: 8 },
  { batch: 8, length: 8 },
  { batch: 16, length: 8 },
  { batch: 8, length: 77 },
];

/**
 * What each division of the cores gives, for bare onnxruntime: what `src/backends/shape.ts` follows from. With
 * `taskset -c 0` before it, it is that of one core.
 */
export async function* shapes(): AsyncGenerator<string> {
  const cores = availableParallelism();
  const divisions = new Map(
    [
      [1, cores],
      [cores, 1],
    ].map(([sessions = 1, threads = 1]) => [`${sessions}×${threads}`, { sessions, threads }]),
  );
  yield "sessions × threads: images/s and ms of processor time an image, by batch";
  for (const [name, shape] of divisions) {
    await using reference = await startReference(shape);
    const shown: string[] = [];
    for (const batch of imageBatches) {
      const { imagesPerS, processorMsPerImage } = await reference.observe(batch, forMs);
      shown.push(`${batch}: ${imagesPerS.toFixed(1)}, ${processorMsPerImage.toFixed(1)}`);
    }
    yield `${name}: ${shown.join("; ")}`;
  }
  yield "the same of texts/s, by batch and tokens";
  for (const [name, shape] of divisions) {
    await using reference = await startReference(shape, "textTower");
    const shown: string[] = [];
    for (const { batch, length } of texts) {
      const { imagesPerS, processorMsPerImage } = await reference.observe(batch, forMs, [length]);
      shown.push(
        `${batch} of ${length}: ${imagesPerS.toFixed(0)}, ${processorMsPerImage.toFixed(2)}`,
      );
    }
    yield `${name}: ${shown.join("; ")}`;
  }
}
