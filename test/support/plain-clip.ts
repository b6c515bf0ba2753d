/**
 * CLIP as transformers' `modeling_clip.py` has it, slow and obviously right: float64, one item at a
 * time, no algebra. Rows are tokens: `number[][]`, [tokens, width].
 */
import type {
  ClipArchitecture,
  TransformerArchitecture,
} from "../../src/models/onnx/architecture.ts";
import type { TensorSource } from "../../src/models/onnx/tensor-source.ts";

type Rows = readonly (readonly number[])[];
/** Whether the token of the first index may look at that of the second. */
type Sees = (from: number, to: number) => boolean;

/** `pixelValues` [3, side, side] → [dimensions]. */
export function plainImageEmbedding(
  { dimensions, vision }: ClipArchitecture,
  tensors: TensorSource,
  pixelValues: Float32Array,
): number[] {
  const { width, patch, side } = vision;
  const grid = side / patch;
  const kernel = tensors.read("vision_model.embeddings.patch_embedding.weight", [
    width,
    3,
    patch,
    patch,
  ]);
  const rows = [Array.from(tensors.read("vision_model.embeddings.class_embedding", [width]))];
  for (let top = 0; top < grid; top += 1) {
    for (let left = 0; left < grid; left += 1) {
      const pixels: number[] = [];
      for (let channel = 0; channel < 3; channel += 1) {
        for (let y = 0; y < patch; y += 1) {
          for (let x = 0; x < patch; x += 1) {
            pixels.push(
              at(pixelValues, (channel * side + top * patch + y) * side + left * patch + x),
            );
          }
        }
      }
      rows.push(multiply(kernel, pixels, width));
    }
  }
  const positions = "vision_model.embeddings.position_embedding.weight";
  const embedded = addPositions(rows, tensors.read(positions, [grid * grid + 1, width]));
  const normed = embedded.map((row) => norm(tensors, "vision_model.pre_layrnorm", row));
  const [classToken = []] = layers(tensors, "vision_model.encoder", vision, normed, () => true);
  const last = norm(tensors, "vision_model.post_layernorm", classToken);
  return multiply(tensors.read("visual_projection.weight", [dimensions, width]), last, dimensions);
}

/** Token ids → [dimensions], pooled at the first end token. */
export function plainTextEmbedding(
  { dimensions, text }: ClipArchitecture,
  tensors: TensorSource,
  ids: readonly number[],
): number[] {
  const { width, vocabulary, maxTokens, endToken } = text;
  const table = tensors.read("text_model.embeddings.token_embedding.weight", [vocabulary, width]);
  const positions = tensors.read("text_model.embeddings.position_embedding.weight", [
    maxTokens,
    width,
  ]);
  const rows = ids.map((id) => Array.from(table.subarray(id * width, (id + 1) * width)));
  const embedded = addPositions(rows, positions);
  const encoded = layers(tensors, "text_model.encoder", text, embedded, (from, to) => to <= from);
  const pooled = encoded[ids.indexOf(endToken)] ?? [];
  const last = norm(tensors, "text_model.final_layer_norm", pooled);
  return multiply(tensors.read("text_projection.weight", [dimensions, width]), last, dimensions);
}

function layers(
  tensors: TensorSource,
  prefix: string,
  { layers: count, width, heads, mlp }: TransformerArchitecture,
  tokens: Rows,
  sees: Sees,
): Rows {
  let rows = tokens;
  for (let layer = 0; layer < count; layer += 1) {
    const name = `${prefix}.layers.${layer}`;
    const normed = rows.map((row) => norm(tensors, `${name}.layer_norm1`, row));
    const project = (which: string, x: Rows): Rows =>
      x.map((row) => linear(tensors, `${name}.self_attn.${which}_proj`, row, width));
    const mixed = attend(
      project("q", normed),
      project("k", normed),
      project("v", normed),
      heads,
      sees,
    );
    rows = add(rows, project("out", mixed));
    const hidden = rows
      .map((row) => norm(tensors, `${name}.layer_norm2`, row))
      .map((row) => linear(tensors, `${name}.mlp.fc1`, row, mlp))
      .map((row) => row.map((x) => x / (1 + Math.exp(-1.702 * x))))
      .map((row) => linear(tensors, `${name}.mlp.fc2`, row, width));
    rows = add(rows, hidden);
  }
  return rows;
}

function attend(queries: Rows, keys: Rows, values: Rows, heads: number, sees: Sees): Rows {
  const channels = (queries[0]?.length ?? 0) / heads;
  const ofHead = (row: readonly number[], head: number): readonly number[] =>
    row.slice(head * channels, (head + 1) * channels);
  return queries.map((query, from) =>
    Array.from({ length: heads }, (_, head) => {
      const scores = keys.map((key, to) =>
        sees(from, to)
          ? dot(ofHead(query, head), ofHead(key, head)) / Math.sqrt(channels)
          : Number.NEGATIVE_INFINITY,
      );
      const weights = softmax(scores);
      return Array.from({ length: channels }, (_, channel) =>
        dot(
          weights,
          values.map((value) => at(value, head * channels + channel)),
        ),
      );
    }).flat(),
  );
}

function linear(
  tensors: TensorSource,
  name: string,
  row: readonly number[],
  outputs: number,
): number[] {
  const weight = tensors.read(`${name}.weight`, [outputs, row.length]);
  const bias = tensors.read(`${name}.bias`, [outputs]);
  return multiply(weight, row, outputs).map((sum, output) => sum + at(bias, output));
}

/** A matrix [outputs, inputs] times a vector [inputs]. */
function multiply(matrix: Float32Array, vector: readonly number[], outputs: number): number[] {
  return Array.from({ length: outputs }, (_, output) =>
    vector.reduce((sum, x, input) => sum + x * at(matrix, output * vector.length + input), 0),
  );
}

function norm(tensors: TensorSource, name: string, row: readonly number[]): number[] {
  const weight = tensors.read(`${name}.weight`, [row.length]);
  const bias = tensors.read(`${name}.bias`, [row.length]);
  const mean = row.reduce((sum, x) => sum + x, 0) / row.length;
  const variance = row.reduce((sum, x) => sum + (x - mean) ** 2, 0) / row.length;
  return row.map((x, i) => ((x - mean) / Math.sqrt(variance + 1e-5)) * at(weight, i) + at(bias, i));
}

function softmax(scores: readonly number[]): number[] {
  const largest = Math.max(...scores);
  const powers = scores.map((score) => Math.exp(score - largest));
  const sum = powers.reduce((total, power) => total + power, 0);
  return powers.map((power) => power / sum);
}

function addPositions(rows: Rows, positions: Float32Array): Rows {
  return rows.map((row, token) => row.map((x, i) => x + at(positions, token * row.length + i)));
}

function add(a: Rows, b: Rows): Rows {
  return a.map((row, token) => row.map((x, channel) => x + at(b[token] ?? [], channel)));
}

function dot(a: readonly number[], b: readonly number[]): number {
  return a.reduce((sum, x, i) => sum + x * at(b, i), 0);
}

/** An element that must be there: a wrong index is a mistake of this file, not a zero. */
function at(values: ArrayLike<number>, index: number): number {
  const value = values[index];
  if (value === undefined) throw new RangeError(`index ${index} of ${values.length}`);
  return value;
}
