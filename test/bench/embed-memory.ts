import { join } from "node:path";
import { startHub } from "../support/hub.ts";
import { makeJpeg } from "../support/pictures.ts";
import { smallProgram, smallWeights } from "../support/small-model.ts";
import { temporaryFolder } from "../support/tiny-clip.ts";
import { processMemory } from "./process-usage.ts";

const MB = 1e6;
const inferred = 10_000;
const remembered = 100_000;
const sampleMs = 200;

/** What `imagesvc embed` holds over many pictures, with a small model: whether it grows with their number. */
export async function* embedMemory(): AsyncGenerator<string> {
  await using temporary = await temporaryFolder();
  const folder = temporary.path;
  await using hub = await startHub(smallWeights());
  const { program, environment } = await smallProgram(folder, hub.file);
  const picture = await makeJpeg({ width: 32, height: 32 });
  const paths = Array.from({ length: inferred }, (_, at) => join(folder, "pictures", `${at}.jpg`));
  // Nothing counts behind a JPEG's end, but to the digest.
  for (const [at, path] of paths.entries()) await Bun.write(path, new Blob([picture, String(at)]));
  const env = {
    PATH: Bun.env["PATH"] ?? "",
    HOME: folder,
    HF_ENDPOINT: hub.endpoint,
    CACHE_DIR: join(folder, "cache"),
    MODELS_DIR: join(folder, "models"),
    WORKERS: "1",
    ...environment,
  };
  const embed = async (out: string, count: number) => {
    const list = Array.from({ length: count }, (_, at) => paths[at % inferred]).join("\n");
    const argv = [...program, "embed", "-", "--out", join(folder, out)];
    return await residentOf(
      Bun.spawn(argv, { env, stdin: new Blob([list]), stdout: "ignore", stderr: "ignore" }),
    );
  };
  yield "resident MB in the second and in the last quarter of a run, highest";
  yield `${inferred} small pictures inferred, to Parquet: ${await embed("inferred.parquet", inferred)}`;
  yield `${remembered} from the cache, to .npy: ${await embed("known.npy", remembered)}`;
}

/** How much a process holds until it ends. @throws Error where it fails. */
async function residentOf(child: Bun.Subprocess): Promise<string> {
  const samples: number[] = [];
  while (child.exitCode === null) {
    const memory = await processMemory(child.pid).catch(() => undefined);
    if (memory !== undefined) samples.push(memory.resident / MB);
    await Bun.sleep(sampleMs);
  }
  if (child.exitCode !== 0) throw new Error(`embed ended with ${child.exitCode}`);
  const quarter = Math.floor(samples.length / 4);
  const highest = (some: readonly number[]) => Math.max(...some).toFixed(0);
  return `${highest(samples.slice(quarter, 2 * quarter))} and ${highest(samples.slice(-quarter))}`;
}
