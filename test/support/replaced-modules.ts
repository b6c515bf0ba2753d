/**
 * Preloaded into the program under test (`bun --preload`): its manifest becomes the one of MANIFEST_FILE, and
 * the golden pictures lie at GOLDEN_ORIGIN. So a whole process runs with a model that takes no minutes, and
 * asks no host that is not on loopback.
 */
import { plugin } from "bun";

const { MANIFEST_FILE: manifest, GOLDEN_ORIGIN: origin } = Bun.env;

plugin({
  name: "replaced-modules",
  setup(build) {
    if (manifest !== undefined) {
      build.onLoad({ filter: /\/models\/manifest\.json$/ }, async () => {
        return { contents: `export default ${await Bun.file(manifest).text()}`, loader: "js" };
      });
    }
    if (origin !== undefined) {
      build.onLoad({ filter: /\/src\/models\/golden-inputs\.ts$/ }, async ({ path }) => {
        const text = await Bun.file(path).text();
        const contents = text.replaceAll("https://raw.githubusercontent.com", origin);
        if (contents === text) throw new Error("the golden pictures lie elsewhere: adapt this");
        return { contents, loader: "ts" };
      });
    }
  },
});
