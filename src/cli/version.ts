import { cpuFeatures } from "../native/cpu-features.ts";
import { ownFacts } from "../release/own-facts.ts";

/**
 * What `imagesvc --version` prints: what a report of a fault must name.
 *
 * @throws Error from source, if a native package is not installed.
 */
export async function versionText(): Promise<string> {
  const facts = await ownFacts();
  const features = await cpuFeatures();
  return `imagesvc ${facts.version}
commit ${facts.commit}
bun ${facts.bun}
onnxruntime ${facts.onnxruntime}
libvips ${facts.libvips}
cpu ${process.arch} ${features.join(" ")}
`;
}
