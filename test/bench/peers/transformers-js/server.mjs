// Express around @huggingface/transformers: `node server.mjs <folder of models> <port>`.
import {
  AutoProcessor,
  CLIPVisionModelWithProjection,
  env,
  RawImage,
} from "@huggingface/transformers";
import express from "express";
import multer from "multer";

const [folder, port] = process.argv.slice(2);
env.localModelPath = folder;
env.allowRemoteModels = false;
const options = { dtype: "fp32", device: "cpu" };
const [processor, model] = await Promise.all([
  AutoProcessor.from_pretrained("clip"),
  CLIPVisionModelWithProjection.from_pretrained("clip", options),
]);

const app = express();
const upload = multer();

app.post("/vectorize-image-upload", upload.single("file"), async (request, response) => {
  const image = await RawImage.fromBlob(new Blob([request.file.buffer]));
  const { image_embeds } = await model(await processor(image));
  response.json({ status: "success", vector: Array.from(image_embeds.data) });
});

app.listen(Number(port), "127.0.0.1");
