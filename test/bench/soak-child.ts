/** The clients of the soak, with the hosts that the service asks, as a process of their own. */
import { startNvidiaFake } from "../support/nvidia-fake.ts";
import { answerQuestions } from "./child.ts";
import { schedule } from "./open-loop.ts";
import { createPhotos } from "./photo.ts";
import {
  type ClipCapacity,
  capacityOfMix,
  createSoakRequests,
  full,
  type SoakRequest,
} from "./soak-requests.ts";

export type SoakQuestion =
  /** Begins the load; it ends by itself. */
  | {
      readonly kind: "begin";
      readonly origin: string;
      readonly capacity: ClipCapacity;
      readonly shareOfCapacity: number;
      readonly forMs: number;
    }
  | { readonly kind: "report" };

/** What became of one kind of request. */
export interface KindTally {
  /** Whether it asks for vectors and should get them. */
  readonly isGood: boolean;
  readonly answered: number;
  /** Of these, with 503. */
  readonly refused: number;
}

/** What the clients have seen so far, and where the hosts are that the service asks. */
export interface SoakReport {
  readonly nvidiaUrl: string;
  /** Requests that are sent in a second; 0 before the load began. */
  readonly requestsPerS: number;
  /** Answers by status. */
  readonly answers: Readonly<Record<string, number>>;
  /** All kinds whose clients wait for an answer. */
  readonly kinds: Readonly<Record<string, KindTally>>;
  /** Clients that left. */
  readonly left: number;
  /** What should not have been, in words, with its number. */
  readonly unexpected: Readonly<Record<string, number>>;
}

const maxUnderWay = 500;
const size = { width: 320, height: 240 };
const nextPhoto = await createPhotos(size);
const nvidia = startNvidiaFake();
const pictures = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  fetch: () => new Response(nextPhoto()),
});
const answers: Record<string, number> = {};
const kinds: Record<string, KindTally> = {};
const unexpected: Record<string, number> = {};
let requestsPerS = 0;
let left = 0;
let underWay = 0;

async function send(request: SoakRequest): Promise<void> {
  underWay += 1;
  try {
    const status = await request.send();
    if (status === undefined) left += 1;
    else tell(request, status);
  } catch (error) {
    count(unexpected, `${request.name}: ${error instanceof Error ? error.message : error}`);
  } finally {
    underWay -= 1;
  }
}

function tell({ name, statuses }: SoakRequest, status: number): void {
  count(answers, String(status));
  const kind = kinds[name] ?? { isGood: isGood(statuses), answered: 0, refused: 0 };
  const refused = kind.refused + (status === full ? 1 : 0);
  kinds[name] = { ...kind, answered: kind.answered + 1, refused };
  if (!statuses.includes(status)) count(unexpected, `${name}: ${status}`);
}

function isGood(statuses: readonly number[]): boolean {
  return statuses.includes(200) && statuses.includes(full);
}

function count(into: Record<string, number>, what: string): void {
  into[what] = (into[what] ?? 0) + 1;
}

function begin(question: Extract<SoakQuestion, { kind: "begin" }>): void {
  const { origin, capacity, shareOfCapacity, forMs } = question;
  const service = new URL(origin);
  const requests = createSoakRequests({ service, pictures: pictures.url, nvidia, nextPhoto });
  for (const { name, statuses } of requests) {
    if (statuses.length > 0) kinds[name] = { isGood: isGood(statuses), answered: 0, refused: 0 };
  }
  requestsPerS = shareOfCapacity * capacityOfMix(requests, capacity);
  void sendAll(createWheel(requests), forMs);
}

async function sendAll(nextRequest: () => SoakRequest, forMs: number): Promise<void> {
  const startedAt = performance.now();
  for (const atMs of schedule(requestsPerS, forMs)) {
    await Bun.sleep(Math.max(0, startedAt + atMs - performance.now()));
    if (underWay < maxUnderWay) void send(nextRequest());
    else count(unexpected, `not sent: ${maxUnderWay} were under way`);
  }
}

/** Gives each kind as often as its share wants it, evenly and the same every time. */
function createWheel(requests: readonly SoakRequest[]): () => SoakRequest {
  const debts = requests.map((request) => ({ request, debt: 0 }));
  const total = requests.reduce((sum, { share }) => sum + share, 0);
  return () => {
    for (const one of debts) one.debt += one.request.share;
    const most = debts.reduce((a, b) => (b.debt > a.debt ? b : a));
    most.debt -= total;
    return most.request;
  };
}

answerQuestions((question: SoakQuestion): SoakReport => {
  if (question.kind === "begin") begin(question);
  return { nvidiaUrl: nvidia.url, requestsPerS, answers, kinds, left, unexpected };
});
