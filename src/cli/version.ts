import { cpuFeatures } from "../native/cpu-features.ts";
import { builtIn } from "../release/built-in.ts";
import { readFacts } from "../release/facts.ts";
import { hostPlatform, sourceRoot } from "../release/platform.ts";

/**
 * What `imagesvc --version` prints: what a report of a fault must name.
 *
 * @throws Error from source, if a native package is not installed.
 */
export async function versionText(): Promise<string> {
  const facts = builtIn?.facts ?? (await readFacts(sourceRoot, hostPlatform()));
  const features = await cpuFeatures();
  return `imagesvc ${facts.version}
commit ${facts.commit}
bun ${facts.bun}
onnxruntime ${facts.onnxruntime}
libvips ${facts.libvips}
cpu ${process.arch} ${features.join(" ")}
`;
}
