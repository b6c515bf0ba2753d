/** Bare onnxruntime with sharp's own resize, without batches: `server.ts <model> <port>`. */
import sharp from "sharp";
import { catalog } from "../../../../src/models/catalog.ts";
import { disableOrtTelemetry } from "../../../../src/native/telemetry.ts";

const side = 224;
const { mean, std } = catalog["clip-ViT-B-32"].preprocessing;
const [imageTower = "", port] = process.argv.slice(2);

disableOrtTelemetry();
const { InferenceSession, Tensor } = await import("onnxruntime-node");
const session = await InferenceSession.create(imageTower, { executionProviders: ["cpu"] });

Bun.serve({
  hostname: "127.0.0.1",
  port: Number(port),
  routes: {
    "/vectorize-image-upload": {
      POST: async (request) => {
        const file = (await request.formData()).get("file");
        if (!(file instanceof File)) return new Response("no file", { status: 400 });
        const rgb = await sharp(await file.arrayBuffer())
          .resize(side, side, { fit: "cover", kernel: "cubic" })
          .removeAlpha()
          .raw()
          .toBuffer();
        const pixelValues = new Tensor("float32", toPlanes(rgb), [1, 3, side, side]);
        const { image_embeds: vector } = await session.run({ pixel_values: pixelValues });
        if (!(vector?.data instanceof Float32Array)) throw new Error("the model gave no vector");
        return Response.json({ status: "success", vector: [...vector.data] });
      },
    },
  },
});

/** uint8, [side, side, 3], to normalised float32, [3, side, side]. */
function toPlanes(rgb: Uint8Array): Float32Array {
  const plane = side * side;
  const values = new Float32Array(3 * plane);
  for (let at = 0; at < plane; at += 1) {
    for (let channel = 0; channel < 3; channel += 1) {
      const level = (rgb[at * 3 + channel] ?? 0) / 255;
      values[channel * plane + at] = (level - (mean[channel] ?? 0)) / (std[channel] ?? 1);
    }
  }
  return values;
}
