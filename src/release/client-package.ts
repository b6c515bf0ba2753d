/** Makes the client's package: `bun src/release/client-package.ts [folder]`, by default `dist/client`. */
import { mkdir, rm } from "node:fs/promises";
import { join, resolve } from "node:path";
import { license, version } from "../../package.json" with { type: "json" };
import { sourceRoot } from "./platform.ts";

const manifest = {
  name: "imagesvc-client",
  version,
  description: "A typed client of imagesvc for browsers, Node, Bun and Deno, and a hook for React",
  license,
  type: "module",
  sideEffects: false,
  exports: {
    ".": { types: "./client.d.ts", default: "./client.js" },
    "./react": { types: "./use-embedding.d.ts", default: "./use-embedding.js" },
  },
  files: ["*.js", "*.d.ts"],
  engines: { node: ">=20.3" },
  peerDependencies: { react: ">=18" },
  peerDependenciesMeta: { react: { optional: true } },
};

const about = `# imagesvc-client

\`\`\`js
import { createClient } from "imagesvc-client";

const client = createClient({ baseUrl: "http://localhost:8000" });
const { vector, model } = await client.embedImage("https://example.com/photo.jpg");
\`\`\`

\`import { useEmbedding } from "imagesvc-client/react"\` is the same in a React component.
The service's documentation says more: \`docs/front-ends.md\`.
`;

/**
 * Writes the package as it would be published: JavaScript, types, manifest, licence.
 *
 * @param folder absolute; whatever is in it goes.
 * @throws Error with the compiler's words, if the client does not compile.
 */
export async function buildClientPackage(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  const compiler = join(sourceRoot, "node_modules/.bin/tsc");
  const project = join(sourceRoot, "src/web/tsconfig.package.json");
  const run = Bun.spawn([process.execPath, compiler, "--project", project, "--outDir", folder], {
    stdout: "pipe",
    stderr: "ignore",
  });
  const [said, code] = await Promise.all([run.stdout.text(), run.exited]);
  if (code !== 0) throw new Error(`the client does not compile: ${said}`);
  // Declarations keep the endings of the source.
  const types = join(folder, "use-embedding.d.ts");
  await Bun.write(
    types,
    (await Bun.file(types).text()).replaceAll('"./client.ts"', '"./client.js"'),
  );
  await Bun.write(join(folder, "package.json"), `${JSON.stringify(manifest, null, 2)}\n`);
  await Bun.write(join(folder, "README.md"), about);
  await Bun.write(join(folder, "LICENSE"), Bun.file(join(sourceRoot, "LICENSE")));
}

if (import.meta.main) {
  const folder = resolve(process.argv[2] ?? join(sourceRoot, "dist/client"));
  await buildClientPackage(folder);
  process.stdout.write(`${folder}\n`);
}
