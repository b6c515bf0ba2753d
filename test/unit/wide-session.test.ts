/** The session of all cores beside that of a share, with the default model at its full size. */
import { expect, test } from "bun:test";
import { join } from "node:path";
import { createSession, wideOptions } from "../../workers/session.ts";
import { defaultModel, prepareSynthetic } from "../support/default-model.ts";
import { testModelsDir } from "../support/service.ts";

test("a vector has the same bits with one thread, with two and with three, packed or not", async () => {
  const { imageTower, packed } = await prepareSynthetic(join(testModelsDir, "synthetic"));
  const { dimensions, vision } = defaultModel.architecture;
  const { side } = vision;
  const pixelValues = Float32Array.from({ length: 3 * side * side }, (_, at) => Math.sin(at));
  const digests = new Set<string>();
  for (const packedImageTower of [packed?.imageTower, undefined]) {
    for (const threads of [1, 2, 3]) {
      const tower = { imageTower, packedImageTower, dimensions, side, threads };
      const session = await createSession(tower, threads === 1 ? {} : wideOptions);
      const vector = await session.run(pixelValues, 1).finally(session.release);
      digests.add(Bun.SHA256.hash(vector, "hex"));
    }
  }
  expect(packed).toBeDefined();
  expect(digests.size).toBe(1);
});
