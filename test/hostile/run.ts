/**
 * Tries far more malformed files than the tests do: `bun run hostile --runs 20000 --seed 7`. A file that did
 * what none should is written to a folder, to become a fixture.
 */
import { mkdtemp } from "node:fs/promises";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { hostileFiles } from "./corpus.ts";
import { type Tried, tryFiles } from "./trial.ts";

const progressEvery = 1_000;
const shownSlowest = 5;

const { values } = parseArgs({
  options: {
    runs: { type: "string", default: "20000" },
    seed: { type: "string", default: String(Date.now() % 1_000_000) },
    findings: { type: "string" },
  },
});
const [runs, seed] = [Number(values.runs), Number(values.seed)];
if (!Number.isInteger(runs) || !Number.isInteger(seed)) {
  throw new RangeError("--runs and --seed take whole numbers");
}
const print = (line: string) => void process.stdout.write(`${line}\n`);

print(`${runs} files, --seed ${seed}`);
const startedMs = performance.now();
const seconds = () => ((performance.now() - startedMs) / 1000).toFixed(0);
const verdicts = new Map<string, number>();
let tried = 0;
let slowest: readonly Tried[] = [];
let largest: readonly Tried[] = [];

const findings = await tryFiles(hostileFiles(seed), {
  runs,
  processes: availableParallelism(),
  deadlineMs: 60_000,
  onTried: (one) => {
    tried += 1;
    verdicts.set(one.verdict, (verdicts.get(one.verdict) ?? 0) + 1);
    slowest = [...slowest, one].sort((a, b) => b.ms - a.ms).slice(0, shownSlowest);
    largest = [...largest, one].sort((a, b) => b.grownBytes - a.grownBytes).slice(0, shownSlowest);
    if (tried % progressEvery === 0) print(`${tried} after ${seconds()} s`);
  },
});

print(`${tried} files in ${seconds()} s`);
for (const [verdict, count] of verdicts) print(`  ${count} ${verdict}`);
print("slowest, each embedded and prepared:");
for (const { file, ms } of slowest) print(`  ${ms.toFixed(0)} ms: ${shortened(file.name)}`);
print("most memory:");
for (const { file, grownBytes } of largest) {
  print(`  ${(grownBytes / 1e6).toFixed(0)} MB: ${shortened(file.name)}`);
}
print(`${findings.length} findings`);
if (findings.length > 0) {
  const folder = values.findings ?? (await mkdtemp(join(tmpdir(), "imagesvc-findings-")));
  for (const { file, fault } of findings) {
    const name = Bun.SHA256.hash(file.bytes, "hex").slice(0, 16);
    await Bun.write(join(folder, name), file.bytes);
    await Bun.write(join(folder, `${name}.txt`), `${file.name}\n${fault}\n`);
    print(`  ${join(folder, name)}: ${fault}`);
  }
  process.exitCode = 1;
}

function shortened(name: string): string {
  return name.length > 120 ? `${name.slice(0, 120)}…` : name;
}
