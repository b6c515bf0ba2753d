/** A process that lets onnxruntime tell how long each kind of operator takes: `operators-child.ts <model> <packed?>`. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { disableOrtTelemetry } from "../../src/native/telemetry.ts";
import { packedOptions } from "../../workers/session.ts";
import { defaultModel } from "../support/default-model.ts";
import { answerQuestions } from "./child.ts";

export interface OperatorsQuestion {
  readonly batch: number;
  readonly runs: number;
}

/** Shares of the time of all operators, by their kind. */
export type OperatorsAnswer = Readonly<Record<string, number>>;

const [imageTower = "", kind] = process.argv.slice(2);
const { side } = defaultModel.architecture.vision;

/** One event of onnxruntime's profile. */
interface ProfileEvent {
  readonly cat: string;
  readonly name: string;
  readonly dur: number;
  readonly args?: { readonly op_name?: string };
}

answerQuestions(async ({ batch, runs }: OperatorsQuestion): Promise<OperatorsAnswer> => {
  disableOrtTelemetry();
  const { InferenceSession, Tensor } = await import("onnxruntime-node");
  const folder = await mkdtemp(join(tmpdir(), "imagesvc-bench-"));
  try {
    const session = await InferenceSession.create(imageTower, {
      executionProviders: ["cpu"],
      intraOpNumThreads: 1,
      interOpNumThreads: 1,
      enableProfiling: true,
      profileFilePrefix: join(folder, "profile"),
      ...(kind === "packed" ? packedOptions : {}),
    });
    const pixels = Float32Array.from(
      { length: batch * 3 * side * side },
      () => Math.random() - 0.5,
    );
    for (let run = 0; run < runs; run += 1) {
      await session.run({ pixel_values: new Tensor("float32", pixels, [batch, 3, side, side]) });
    }
    session.endProfiling();
    const [profile = ""] = [...new Bun.Glob("profile*").scanSync({ cwd: folder, absolute: true })];
    const events: readonly ProfileEvent[] = await Bun.file(profile).json();
    return sharesOf(
      events.filter(({ cat, name }) => cat === "Node" && name.endsWith("_kernel_time")),
    );
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});

function sharesOf(events: readonly ProfileEvent[]): OperatorsAnswer {
  const shares: Record<string, number> = {};
  const total = events.reduce((sum, { dur }) => sum + dur, 0);
  for (const { dur, args } of events) {
    const operator = args?.op_name ?? "unknown";
    shares[operator] = (shares[operator] ?? 0) + dur / total;
  }
  return shares;
}
