import manifest from "../../models/manifest.json" with { type: "json" };
import type { FileFacts } from "./checked-files.ts";
import type { GoldenValues } from "./golden.ts";
import type { ClipArchitecture } from "./onnx/architecture.ts";

/** One file at one commit of a repository on the Hugging Face hub. */
export interface HubFile {
  /** `owner/name`. */
  readonly repository: string;
  /** Full commit id, so that the file cannot change. */
  readonly revision: string;
  readonly path: string;
}

/** A file of a hub that can be known again. */
export interface WeightsSource extends HubFile, FileFacts {}

/** One tower of a published export. */
export interface ExportedTower extends FileFacts {
  readonly path: string;
}

/** A published pair of ONNX files, which is served as it stands. */
export interface OnnxExport extends Omit<HubFile, "path"> {
  readonly image: ExportedTower;
  readonly text: ExportedTower;
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
  /** The published weights. Without size and digest they are listed, but not loaded: nobody could tell them from others. */
  readonly source: HubFile & Partial<FileFacts>;
  /** The same weights, exported by somebody. */
  readonly onnx?: OnnxExport;
  /** What is known of its vectors: with the published weights, and with the synthetic ones. */
  readonly golden?: { readonly published: GoldenValues; readonly synthetic: GoldenValues };
}

/** Models by id. */
export type Models = Readonly<Record<string, ModelDescription>>;

/** Id of a model that runs on this host. */
export type LocalModelId = keyof typeof manifest;

/** Every model that runs on this host, by id; a manifest of another shape does not compile. */
export const catalog: Readonly<Record<LocalModelId, ModelDescription>> = manifest;

/** Whether there is a model of this id. */
export function isLocalModelId(id: string): id is LocalModelId {
  return id in catalog;
}

/** The published weights, where they can be known again. */
export function knownSource({ source }: Pick<ModelDescription, "source">) {
  const { bytes, sha256 } = source;
  if (bytes === undefined || sha256 === undefined) return undefined;
  return { ...source, bytes, sha256 } satisfies WeightsSource;
}
