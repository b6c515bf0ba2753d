/** The clients of the soak, with the hosts that the service asks, as a process of their own. */
import { startNvidiaFake } from "../support/nvidia-fake.ts";
import { answerQuestions } from "./child.ts";
import { schedule } from "./open-loop.ts";
import { createPhotos } from "./photo.ts";
import { createSoakRequests, type SoakRequest } from "./soak-requests.ts";

export type SoakQuestion =
  /** Begins the load; it ends by itself. */
  | {
      readonly kind: "begin";
      readonly origin: string;
      readonly requestsPerS: number;
      readonly forMs: number;
    }
  | { readonly kind: "report" };

/** What the clients have seen so far, and where the hosts are that the service asks. */
export interface SoakReport {
  readonly nvidiaUrl: string;
  /** Answers by status. */
  readonly answers: Readonly<Record<string, number>>;
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
const unexpected: Record<string, number> = {};
let left = 0;
let underWay = 0;

async function send(request: SoakRequest): Promise<void> {
  underWay += 1;
  try {
    const status = await request.send();
    if (status === undefined) left += 1;
    else count(answers, String(status));
    if (status !== undefined && !request.statuses.includes(status)) {
      count(unexpected, `${request.name}: ${status}`);
    }
  } catch (error) {
    count(unexpected, `${request.name}: ${error instanceof Error ? error.message : error}`);
  } finally {
    underWay -= 1;
  }
}

function count(into: Record<string, number>, what: string): void {
  into[what] = (into[what] ?? 0) + 1;
}

async function begin(origin: string, requestsPerS: number, forMs: number): Promise<void> {
  const service = new URL(origin);
  const requests = createSoakRequests({ service, pictures: pictures.url, nvidia, nextPhoto });
  const nextRequest = createWheel(requests);
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
  if (question.kind === "begin") void begin(question.origin, question.requestsPerS, question.forMs);
  return { nvidiaUrl: nvidia.url, answers, left, unexpected };
});
