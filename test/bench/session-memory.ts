/** A process that opens sessions of an image tower and keeps them: `session-memory.ts <model>`. */
import { createSession, type ImageSession, packedOptions } from "../../workers/session.ts";
import { defaultModel } from "../support/default-model.ts";
import { answerQuestions } from "./child.ts";

export interface SessionsQuestion {
  /** So many are to be open. */
  readonly count: number;
}

export interface SessionsAnswer {
  /** ms that the last one took to be open and to have run once. */
  readonly openMs: number;
}

const [imageTower = ""] = process.argv.slice(2);
const { dimensions, vision } = defaultModel.architecture;
const { side } = vision;
const own = imageTower.includes("packed-") ? packedOptions : {};
const open: ImageSession[] = [];

answerQuestions(async ({ count }: SessionsQuestion): Promise<SessionsAnswer> => {
  let openMs = 0;
  while (open.length < count) {
    const startedAt = performance.now();
    const session = await createSession({ imageTower, dimensions, side, threads: 1 }, own);
    await session.run(new Float32Array(3 * side * side), 1);
    open.push(session);
    openMs = performance.now() - startedAt;
  }
  return { openMs };
});
