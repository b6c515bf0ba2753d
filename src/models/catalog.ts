import manifest from "../../models/manifest.json" with { type: "json" };
import type { ClipArchitecture } from "./onnx/architecture.ts";

/** One file at one commit of a repository on the Hugging Face hub. */
export interface WeightsSource {
  /** `owner/name`. */
  readonly repository: string;
  /** Full commit id, so that the file cannot change. */
  readonly revision: string;
  readonly path: string;
  readonly bytes: number;
  /** Lower-case hex. */
  readonly sha256: string;
}

/** What must be done to an image before the model sees it. */
export interface Preprocessing {
  readonly resize: string;
  readonly crop: string;
  /** Red, green, blue; of channels scaled to 0…1. */
  readonly mean: readonly number[];
  /** Red, green, blue. */
  readonly std: readonly number[];
}

/** A model that runs on this host. */
export interface ModelDescription {
  readonly description: string;
  readonly architecture: ClipArchitecture;
  readonly preprocessing: Preprocessing;
  readonly licence: { readonly spdx: string; readonly holder: string; readonly url: string };
  readonly source: WeightsSource;
}

/** Every model that runs on this host, by id; a manifest of another shape does not compile. */
export const catalog = manifest satisfies Readonly<Record<string, ModelDescription>>;

/** Id of a model that runs on this host. */
export type LocalModelId = keyof typeof catalog;

/** The model that the service was made for. */
export const clip: ModelDescription & { readonly id: LocalModelId } = {
  id: "clip-ViT-B-32",
  ...catalog["clip-ViT-B-32"],
};
