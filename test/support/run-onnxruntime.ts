/**
 * A process of its own that runs the tiny image tower: `quiet` as the service does it, `as-shipped`
 * without telling onnxruntime anything. Prints its connected sockets as JSON.
 */
import { createSession } from "../../workers/session.ts";
import { connectedSockets } from "./connected-sockets.ts";
import { tinyClip } from "./tiny-clip.ts";

const [mode, imageTower = ""] = process.argv.slice(2);
const { side } = tinyClip.vision;
const pixelValues = new Float32Array(3 * side * side);

if (mode === "quiet") {
  const { dimensions } = tinyClip;
  const session = await createSession({ imageTower, dimensions, side, threads: 1 });
  await session.run(pixelValues, 1);
} else {
  const { InferenceSession, Tensor } = await import("onnxruntime-node");
  const session = await InferenceSession.create(imageTower);
  await session.run({ pixel_values: new Tensor("float32", pixelValues, [1, 3, side, side]) });
}
process.stdout.write(JSON.stringify(connectedSockets()));
