/** The recipes of `docs/recipes/`, as they stand, with the real databases. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { cosineSimilarity } from "../../src/vector/similarity.ts";
import { leftOut } from "../support/left-out.ts";
import { makeJpeg } from "../support/pictures.ts";
import { runMain } from "../support/process.ts";

const python = Bun.env["RECIPES_PYTHON"];
const recipes = join(import.meta.dir, "../../docs/recipes");

let folder: string;
const at = (name: string) => join(folder, name);
/** What every recipe must print. */
let expected: string[];

interface Line {
  readonly source: string;
  readonly vector?: readonly number[];
}

async function linesOf(path: string): Promise<Line[]> {
  const lines = (await Bun.file(path).text()).trimEnd().split("\n");
  return lines.map((line) => JSON.parse(line));
}

beforeAll(async () => {
  if (python === undefined) return;
  folder = await mkdtemp(join(tmpdir(), "imagesvc-recipes-"));
  await mkdir(at("photos"));
  for (const [seed, kind] of (["gradient", "noise", "text", "gradient"] as const).entries()) {
    await Bun.write(at(`photos/it's ${seed}.jpg`), await makeJpeg({ seed, kind }));
  }
  await Bun.write(at("photos/bad.jpg"), "no picture");
  const cache = { CACHE_DIR: at("cache"), CACHE_MAX_BYTES: "16777216" };
  for (const out of ["photos.jsonl", "photos.parquet", "photos.npy"]) {
    const { code } = await runMain(["embed", at("photos"), "--resume", "--out", at(out)], cache);
    expect(code).toBe(1);
  }
  const { output } = await runMain(["embed", "--text", "-"], {}, "a dog in the snow\n");
  await Bun.write(at("query.jsonl"), output);
  const [query] = await linesOf(at("query.jsonl"));
  expected = (await linesOf(at("photos.jsonl")))
    .flatMap(({ source, vector }) => {
      const cosine = vector && cosineSimilarity(toFloats(query?.vector), toFloats(vector));
      return cosine === undefined ? [] : [{ source, cosine }];
    })
    .sort((a, b) => b.cosine - a.cosine)
    .map(({ source, cosine }) => `${cosine.toFixed(3)}  ${source}`);
  expect(expected).toHaveLength(4);
});

afterAll(async () => {
  if (python !== undefined) await rm(folder, { recursive: true });
});

function toFloats(vector: readonly number[] = []): Float32Array {
  return Float32Array.from(vector);
}

async function run(argv: readonly string[]): Promise<string> {
  const child = Bun.spawn([python ?? "", ...argv], {
    stdout: "pipe",
    stderr: "pipe",
    env: { PATH: "/usr/bin:/bin", HOME: folder },
  });
  const [output, errors, code] = await Promise.all([
    child.stdout.text(),
    child.stderr.text(),
    child.exited,
  ]);
  expect({ code, errors: code === 0 ? "" : errors }).toEqual({ code: 0, errors: "" });
  return output;
}

/** The fourth decimal is a matter of how a database adds. */
function rounded(output: string): string[] {
  const lines = output.trimEnd().split("\n");
  return lines.map((line) => line.replace(/^(\S+)/, (cosine) => Number(cosine).toFixed(3)));
}

async function expectMatches(recipe: string, photos: string, database: string): Promise<void> {
  const argv = [join(recipes, recipe), at(photos), at("query.jsonl"), database];
  for (const _ of ["into a new database", "into one that has them"]) {
    const lines = rounded(await run(argv));
    expect(lines.map((line) => line.slice(line.indexOf("  ")))).toEqual(
      expected.map((line) => line.slice(line.indexOf("  "))),
    );
    for (const [index, line] of lines.entries()) {
      const difference = Number.parseFloat(line) - Number.parseFloat(expected[index] ?? "");
      expect(Math.abs(difference)).toBeLessThan(0.0021);
    }
  }
}

if (python === undefined) {
  test("the recipes for databases", () =>
    leftOut("the recipes for databases, for want of RECIPES_PYTHON"));
} else {
  test("DuckDB reads the Parquet file, and finds by text", async () => {
    await expectMatches("duckdb_parquet.py", "photos.parquet", at("photos.duckdb"));
    const script = `
import duckdb, sys
print(duckdb.sql(f"SELECT column_name, column_type FROM (DESCRIBE SELECT * FROM '{sys.argv[1]}')").fetchall())
print(duckdb.sql(f"SELECT max(abs(a - b)) FROM (SELECT unnest(p.vector) AS a, unnest(j.vector)::FLOAT AS b "
  f"FROM '{sys.argv[1]}' p JOIN '{sys.argv[2]}' j USING (source))").fetchall())`;
    expect(await run(["-c", script, at("photos.parquet"), at("photos.jsonl")])).toBe(
      "[('source', 'VARCHAR'), ('sha256', 'VARCHAR'), ('model', 'VARCHAR'), ('vector', 'FLOAT[]')]\n[(0.0,)]\n",
    );
  });

  test("numpy reads the .npy file, mapped or not, and each row is its line's", async () => {
    const script = `
import json, numpy, sys
whole, mapped = numpy.load(sys.argv[1]), numpy.load(sys.argv[1], mmap_mode="r")
records = {r["source"]: r for r in map(json.loads, open(sys.argv[3]))}
ids = [json.loads(line) for line in open(sys.argv[2])]
same = all((whole[row] == numpy.array(records[one["source"]]["vector"], dtype="<f4")).all() for row, one in enumerate(ids))
print(whole.shape, whole.dtype.str, whole.flags.c_contiguous, (whole == mapped).all(), len(ids), same)`;
    const files = [at("photos.npy"), at("photos.ids.jsonl"), at("photos.jsonl")];
    expect(await run(["-c", script, ...files])).toBe("(4, 512) <f4 True True 4 True\n");
  });

  test("SQLite with sqlite-vec finds by text", () =>
    expectMatches("sqlite-vec.py", "photos.jsonl", at("photos.sqlite")));

  test("Qdrant's client in its local mode finds by text", () =>
    expectMatches("qdrant.py", "photos.jsonl", ":memory:"));

  test("PostgreSQL with pgvector finds by text", async () => {
    const server = Bun.spawn([python, join(import.meta.dir, "postgres.py"), at("postgres")], {
      stdin: "pipe",
      stdout: "pipe",
      stderr: "ignore",
      env: { PATH: "/usr/bin:/bin", HOME: folder },
    });
    try {
      const { value } = await server.stdout.getReader().read();
      const address = new TextDecoder().decode(value).trim();
      expect(address).toStartWith("postgresql://");
      await expectMatches("pgvector.py", "photos.jsonl", address);
    } finally {
      await server.stdin.end();
      await server.exited;
    }
  });
}
