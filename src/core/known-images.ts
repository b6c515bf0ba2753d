/** Which of a request's images cost a call of their model: those that were not here before, each once. */
import type { ImageBackend } from "../backends/backend.ts";
import type { ImageSource } from "../sources/source.ts";
import type { Recall } from "./recall.ts";

/** Images that are hashed in one turn. */
const imagesATurn = 8;

/** Images of which is known what they cost. */
export interface CostedImages {
  /** The same images; those that came in memory were given away, and are here with their digests. */
  readonly sources: readonly ImageSource[];
  /** Calls of the model that they cost at most: what has to be fetched is not known before. */
  readonly calls: number;
}

/** Counts. @throws Error where an image in memory cannot be hashed. */
export async function costOf(
  sources: readonly ImageSource[],
  backend: ImageBackend,
  { digest, find }: Pick<Recall, "digest" | "find">,
): Promise<CostedImages> {
  const unknown = new Set<string>();
  const hashed: ImageSource[] = [];
  for (const source of sources) {
    const image = source.kind === "memory" ? await digest(source) : undefined;
    if (image?.kind !== "memory") {
      hashed.push(source);
      unknown.add(source.kind === "url" ? source.url : crypto.randomUUID());
      continue;
    }
    hashed.push(image);
    if (find(backend, image.sha256) === undefined) unknown.add(image.sha256);
    if (hashed.length % imagesATurn === 0) await Bun.sleep(0);
  }
  return { sources: hashed, calls: unknown.size };
}
