import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { cosineSimilarity } from "../../src/vector/similarity.ts";
import { compileMs, type Observed, startLoad, warmUp } from "./load.ts";
import {
  describePeers,
  installPeers,
  isInstalled,
  type PeerServer,
  peersDir,
  startPeer,
} from "./peer-servers.ts";
import { createPhotos, photoSize } from "./photo.ts";
import { processMemory } from "./process-usage.ts";
import { findingRow, findingsHead, tableHead, tableRow } from "./report.ts";
import { highest, median, percentile, ratios, withRange } from "./statistics.ts";
import { rateOf } from "./throughput.ts";
import { upload } from "./upload.ts";

const clientCounts = [1, 8, 24];
const roundMs = 3000;
const warmUpMs = 800;
const comparedPhotos = 4;
const MB = 1e6;

export interface PeersOptions {
  /** How often everything is done. */
  readonly rounds: number;
}

/** What was seen of one server. */
interface Seen {
  readonly server: PeerServer;
  /** By the number of clients, a round each. */
  readonly byClients: ReadonlyMap<number, Observed[]>;
  readonly resident: number;
  /** The least cosine of its vectors with the service's. */
  readonly cosine: number;
}

/** The service beside what a user would write instead: the same weights, pictures and clients, in turn. */
export async function* peers({ rounds }: PeersOptions): AsyncGenerator<string> {
  const scratch = await mkdtemp(join(tmpdir(), "imagesvc-bench-peers-"));
  await using servers = new AsyncDisposableStack();
  servers.defer(() => rm(scratch, { recursive: true, force: true }));
  const nextPhoto = await createPhotos();
  const installed = await peersDir();
  const described = await describePeers(installed, scratch);
  if (!described.every(isInstalled)) await installPeers(installed);
  const started: PeerServer[] = [];
  for (const peer of described) {
    started.push(servers.use(await startPeer(peer, nextPhoto())));
  }
  const cosines = await compareVectors(started, nextPhoto);
  for (const server of started) await warmUp(server, nextPhoto);
  const runs = await runInTurn(started, nextPhoto, rounds);
  const seen = await Promise.all(
    started.map(async (server, index): Promise<Seen> => {
      const { resident } = await processMemory(server.pid);
      const byClients = runs.get(server) ?? new Map();
      return { server, byClients, resident, cosine: cosines[index] ?? Number.NaN };
    }),
  );
  yield `uploads of a ${photoSize.width}×${photoSize.height} JPEG (${nextPhoto().length >> 10} KiB), no two alike, ${rounds} rounds of ${roundMs / 1000} s with each server and number of clients in turn, after ${(compileMs.new + compileMs.known) / 1000} s of load on each; images/s: median (least to most); all with the service's synthetic weights in float32`;
  yield* tableHead([
    "server",
    ...clientCounts.map((count) => `images/s, ${count} ${count === 1 ? "client" : "clients"}`),
    ...clientCounts.map((count) => `ms with ${count}: p50, p99`),
    "resident, MB",
    "start to first vector, s",
    "cosine with ours",
  ]);
  for (const one of seen) yield peerRow(one);
  yield* findingsHead;
  for (const count of clientCounts) yield* comparedWithOthers(seen, count);
}

type Runs = ReadonlyMap<PeerServer, ReadonlyMap<number, Observed[]>>;

async function runInTurn(
  servers: readonly PeerServer[],
  nextPhoto: Parameters<typeof startLoad>[1],
  rounds: number,
): Promise<Runs> {
  const runs = new Map(
    servers.map((server) => [
      server,
      new Map(clientCounts.map((count) => [count, [] as Observed[]])),
    ]),
  );
  for (let round = 0; round < rounds; round += 1) {
    for (const count of clientCounts) {
      for (const server of servers) {
        await using load = await startLoad(server, nextPhoto, { clients: count, warmUpMs });
        runs
          .get(server)
          ?.get(count)
          ?.push(await load.observe(roundMs));
      }
    }
  }
  return runs;
}

/** The least cosine of each server's vectors with those of the first, over some photos. */
async function compareVectors(
  servers: readonly PeerServer[],
  nextPhoto: Parameters<typeof startLoad>[1],
): Promise<readonly number[]> {
  const least = servers.map(() => 1);
  for (let photo = 0; photo < comparedPhotos; photo += 1) {
    const bytes = nextPhoto();
    const vectors: Float32Array[] = [];
    for (const { url } of servers) {
      const { vector }: { vector: number[] } = JSON.parse(await (await upload(url, bytes)).text());
      vectors.push(Float32Array.from(vector));
    }
    const [ours = new Float32Array()] = vectors;
    for (const [index, vector] of vectors.entries()) {
      least[index] = Math.min(least[index] ?? 1, cosineSimilarity(ours, vector));
    }
  }
  return least;
}

function peerRow({ server, byClients, resident, cosine }: Seen): string {
  const observed = clientCounts.map((count) => byClients.get(count) ?? []);
  return tableRow([
    server.name,
    ...observed.map((each) => withRange(each.map(rateOf), 1)),
    ...observed.map((each) => {
      const tookMs = each.flatMap((round) => round.tookMs);
      return [50, 99].map((percent) => percentile(tookMs, percent).toFixed(0)).join(", ");
    }),
    (resident / MB).toFixed(0),
    (server.firstAnswerMs / 1000).toFixed(1),
    cosine.toFixed(6),
  ]);
}

function* comparedWithOthers([ours, ...others]: readonly Seen[], count: number) {
  const rates = ({ byClients }: Seen) => (byClients.get(count) ?? []).map(rateOf);
  const peers = others.filter(({ server }) => !server.hasOurGraph);
  const fastest = highest(peers, rates);
  if (ours === undefined || fastest === undefined) throw new Error("there is nobody to compare");
  const ratiosTo = (other: Seen) => ratios(rates(ours), rates(other));
  const beside = (other: Seen) => ({
    measured: withRange(rates(ours), 1),
    reference: `${other.server.name}: ${withRange(rates(other), 1)}`,
    compared: withRange(ratiosTo(other), 2),
  });
  yield findingRow({
    what: `${count} ${count === 1 ? "client" : "clients"}, images/s, beside the fastest peer`,
    ...beside(fastest),
    wanted: "at least 1",
    isMet: median(ratiosTo(fastest)) >= 1,
  });
  for (const other of others.filter(({ server }) => server.hasOurGraph)) {
    const what = "the same, beside a bare server that was given this service's graph";
    yield findingRow({ what, ...beside(other) });
  }
}
