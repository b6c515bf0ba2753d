/** The client as a package: small, and of use to a project that knows nothing of this one. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdir, mkdtemp, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildClientPackage } from "../../src/release/client-package.ts";
import { startService } from "../support/service.ts";
import { repositoryRoot } from "../support/source-files.ts";

let project: string;

beforeAll(async () => {
  project = await mkdtemp(join(tmpdir(), "imagesvc-client-project-"));
  const built = join(project, "built");
  await buildClientPackage(built);
  await Bun.write(join(project, "package.json"), '{ "type": "module", "private": true }\n');
  await run(["npm", "pack", "--silent", "--pack-destination", project], built);
  const [archive = ""] = [...new Bun.Glob("*.tgz").scanSync(project)];
  await run(["npm", "install", "--silent", "--offline", "--no-audit", `./${archive}`], project);
  // Node would find the built folder, too, if it were left.
  await rm(built, { recursive: true });
});

afterAll(() => rm(project, { recursive: true }));

async function run(command: readonly string[], cwd: string): Promise<string> {
  const child = Bun.spawn([...command], { cwd, stdout: "pipe", stderr: "pipe" });
  const [said, complaint] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  if ((await child.exited) !== 0) throw new Error(`${command.join(" ")}: ${said}${complaint}`);
  return said;
}

test("Node embeds a picture and a text with it", async () => {
  await using service = await startService();
  await Bun.write(
    join(project, "main.js"),
    `import { createClient, cosineSimilarity, ImagesvcProblem } from "imagesvc-client";
const client = createClient({ baseUrl: process.argv[2] });
const png = Buffer.from("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==", "base64");
const { vector } = await client.embedImage(new Blob([png]));
const { vectors: [text] } = await client.embedTexts(["a cat"]);
const refused = await client.embedImage("http://10.0.0.1/").catch((problem) => problem);
console.log(JSON.stringify({
  dimensions: vector.length,
  isCosine: Math.abs(cosineSimilarity(vector, text)) <= 1,
  refused: [refused instanceof ImagesvcProblem, refused.code],
}));
`,
  );
  expect(JSON.parse(await run(["node", "main.js", service.url.href], project))).toEqual({
    dimensions: 512,
    isCosine: true,
    refused: [true, "forbidden-address"],
  });
});

test("its types say what it gives, and refuse what it does not take", async () => {
  const modules = join(project, "node_modules");
  await mkdir(join(modules, "@types"), { recursive: true });
  for (const name of ["react", "@types/react", "csstype"]) {
    await symlink(join(repositoryRoot, "node_modules", name), join(modules, name));
  }
  await Bun.write(
    join(project, "main.ts"),
    `import { createClient, ImagesvcProblem, type Embedding } from "imagesvc-client";
import { useEmbedding } from "imagesvc-client/react";
const client = createClient({ baseUrl: "http://localhost:8000" });
const embedding: Embedding = await client.embedImage(new Blob([]), { model: "nv-dinov2" });
export const first: number | undefined = embedding.vector[0];
// @ts-expect-error an image is a URL or bytes
await client.embedImage(42);
export function Photo(url: string): string {
  const state = useEmbedding(client, url);
  // @ts-expect-error there is a vector only once it is done
  state.embedding;
  return state.status === "done" ? state.embedding.model : state.status === "failed" ? state.problem.detail : "";
}
try { await client.models(); } catch (error) {
  if (error instanceof ImagesvcProblem && error.code === "rate-limited") console.log(error.retryAfterS);
}
`,
  );
  const compiler = join(repositoryRoot, "node_modules/.bin/tsc");
  const options = "--noEmit --strict --target es2022 --module nodenext --lib es2023,dom main.ts";
  const said = await run([process.execPath, compiler, ...options.split(" ")], project);
  expect(said).toBe("");
});

test("a page loads less than 5 kB of it", async () => {
  const { outputs } = await Bun.build({
    entrypoints: [join(project, "node_modules/imagesvc-client/client.js")],
    target: "browser",
    minify: true,
  });
  const [bundle] = outputs;
  const bytes = Bun.gzipSync(new Uint8Array((await bundle?.arrayBuffer()) ?? []));
  expect(bytes.length).toBeWithin(1_000, 5_000);
});

test("it brings no more than it needs", async () => {
  const files = [...new Bun.Glob("**").scanSync(join(project, "node_modules/imagesvc-client"))];
  expect(files.sort()).toEqual([
    "LICENSE",
    "README.md",
    "client.d.ts",
    "client.js",
    "package.json",
    "use-embedding.d.ts",
    "use-embedding.js",
  ]);
});
