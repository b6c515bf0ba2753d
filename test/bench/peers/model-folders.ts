/** The model that every peer loads: the service's synthetic weights in the layouts that their libraries read. */
import { existsSync } from "node:fs";
import { mkdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import type { ClipArchitecture } from "../../../src/models/onnx/architecture.ts";
import type { Graph } from "../../../src/models/onnx/graph.ts";
import { encodeModel } from "../../../src/models/onnx/model-proto.ts";
import { seededTensors } from "../../../src/models/seeded-tensors.ts";
import { loadClipMerges } from "../../../workers/clip-merges.ts";
import { writeGraph } from "../../../workers/write-model.ts";
import { defaultModel } from "../../support/default-model.ts";
import { byteCharacters } from "../../support/reference-tokenizer.ts";
import { writeSafetensors } from "../../support/seeded-safetensors.ts";
import { plainImageTower } from "../plain-graph.ts";

/** Folders of the same model. */
export interface ModelFolders {
  /** As sentence-transformers publishes `clip-ViT-B-32`. */
  readonly sentenceTransformers: string;
  /** Holds a folder `clip`, as `@huggingface/transformers` expects an ONNX export. */
  readonly transformersJs: string;
  /** The image tower in it, as exporters write it. */
  readonly exportedTower: string;
}

/**
 * Writes them, unless they are there: 1 GB.
 *
 * @param parent gets a folder of them for each version of the exported graph.
 */
export async function writeModelFolders(parent: string): Promise<ModelFolders> {
  const exported = plainImageTower(defaultModel.architecture, "fp32");
  const folder = join(parent, `models-${Bun.hash(encodeModel(exported, "data")).toString(16)}`);
  const transformersJs = join(folder, "transformers-js");
  const folders: ModelFolders = {
    sentenceTransformers: join(folder, "sentence-transformers"),
    transformersJs,
    exportedTower: towerIn(transformersJs),
  };
  if (existsSync(folder)) return folders;
  const making = `${folder}.making`;
  await rm(making, { recursive: true, force: true });
  await writeSentenceTransformers(join(making, "sentence-transformers"));
  await writeTransformersJs(join(making, "transformers-js"), exported);
  await rename(making, folder);
  return folders;
}

async function writeSentenceTransformers(folder: string): Promise<void> {
  const module = join(folder, "0_CLIPModel");
  await mkdir(module, { recursive: true });
  await writeJson(join(folder, "modules.json"), [
    { idx: 0, name: "0", path: "0_CLIPModel", type: "sentence_transformers.models.CLIPModel" },
  ]);
  await writeConfigs(module);
  await writeTokenizer(module);
  const { architecture } = defaultModel;
  const path = join(module, "model.safetensors");
  await writeSafetensors(path, architecture, seededTensors("imagesvc"));
}

async function writeTransformersJs(folder: string, exported: Graph): Promise<void> {
  const model = join(folder, "clip");
  await mkdir(join(model, "onnx"), { recursive: true });
  await writeConfigs(model);
  await writeGraph(towerIn(folder), exported, seededTensors("imagesvc"));
}

function towerIn(transformersJs: string): string {
  return join(transformersJs, "clip", "onnx", "vision_model.onnx");
}

async function writeConfigs(folder: string): Promise<void> {
  const { architecture, preprocessing } = defaultModel;
  const { dimensions, vision, text } = architecture;
  await writeJson(join(folder, "config.json"), {
    architectures: ["CLIPModel"],
    model_type: "clip",
    projection_dim: dimensions,
    torch_dtype: "float32",
    vision_config: {
      ...towerConfig(vision),
      model_type: "clip_vision_model",
      image_size: vision.side,
      patch_size: vision.patch,
      projection_dim: dimensions,
    },
    text_config: {
      ...towerConfig(text),
      model_type: "clip_text_model",
      vocab_size: text.vocabulary,
      max_position_embeddings: text.maxTokens,
      bos_token_id: text.endToken - 1,
      eos_token_id: text.endToken,
      projection_dim: dimensions,
    },
  });
  const { side } = vision;
  await writeJson(join(folder, "preprocessor_config.json"), {
    image_processor_type: "CLIPImageProcessor",
    feature_extractor_type: "CLIPFeatureExtractor",
    do_convert_rgb: true,
    do_resize: true,
    size: { shortest_edge: side },
    resample: 3,
    do_center_crop: true,
    crop_size: { height: side, width: side },
    do_rescale: true,
    rescale_factor: 1 / 255,
    do_normalize: true,
    image_mean: preprocessing.mean,
    image_std: preprocessing.std,
  });
}

/** What both towers have, by transformers' names. */
function towerConfig(part: ClipArchitecture["vision"] | ClipArchitecture["text"]) {
  return {
    hidden_size: part.width,
    intermediate_size: part.mlp,
    num_hidden_layers: part.layers,
    num_attention_heads: part.heads,
    hidden_act: "quick_gelu",
    layer_norm_eps: 1e-5,
  };
}

/** The published tokenizer's two files: images need none, but sentence-transformers loads it with the model. */
async function writeTokenizer(folder: string): Promise<void> {
  const merges = await loadClipMerges();
  const pairs = merges.trimEnd().split("\n").slice(1);
  const bytes = byteCharacters();
  const [begin, end] = ["<|startoftext|>", "<|endoftext|>"];
  const tokens = [
    ...bytes,
    ...bytes.map((character) => `${character}</w>`),
    ...pairs.map((pair) => pair.replace(" ", "")),
    begin,
    end,
  ];
  await Bun.write(join(folder, "merges.txt"), merges);
  const vocabulary = Object.fromEntries(tokens.map((token, id) => [token, id]));
  await writeJson(join(folder, "vocab.json"), vocabulary);
  await writeJson(join(folder, "tokenizer_config.json"), {
    tokenizer_class: "CLIPTokenizer",
    bos_token: begin,
    eos_token: end,
    unk_token: end,
    pad_token: end,
    model_max_length: defaultModel.architecture.text.maxTokens,
  });
}

async function writeJson(path: string, value: unknown): Promise<void> {
  await Bun.write(path, JSON.stringify(value, undefined, 1));
}
