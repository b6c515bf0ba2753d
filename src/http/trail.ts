/** What one request leaves behind on its way, while it is served. */
import type { ProblemCode } from "../errors.ts";
import type { EndedStage, SourceKind, Trail, WrittenTrail } from "../observer.ts";

/** Makes the trail of a request that begins. */
export function createTrail(traceparent: string | undefined): Trail & WrittenTrail {
  const inputs = new Map<SourceKind, number>();
  const failures = new Map<ProblemCode, number>();
  const stages: EndedStage[] = [];
  const cache = { hit: 0, miss: 0 };
  let [allBytes, allPixels] = [0, 0];
  return {
    noteInputs: (kind, count) => void inputs.set(kind, (inputs.get(kind) ?? 0) + count),
    noteImage: ({ bytes = 0, pixels = 0 }) => {
      allBytes += bytes;
      allPixels += pixels;
    },
    noteCache: (status) => {
      cache[status] += 1;
    },
    noteFailure: (code) => void failures.set(code, (failures.get(code) ?? 0) + 1),
    noteStage: (ended) => void stages.push(ended),
    traceparent: () => traceparent,
    inputs,
    failures,
    stages,
    cache,
    get bytes() {
      return allBytes;
    },
    get pixels() {
      return allPixels;
    },
  };
}
