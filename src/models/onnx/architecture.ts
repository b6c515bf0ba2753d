/** A stack of pre-norm transformer layers. */
export interface TransformerArchitecture {
  readonly layers: number;
  /** Channels of the residual stream. */
  readonly width: number;
  /** Attention heads; they divide the width. */
  readonly heads: number;
  /** Channels inside the MLP. */
  readonly mlp: number;
}

export interface VisionArchitecture extends TransformerArchitecture {
  /** Pixels of the square input. */
  readonly side: number;
  /** Pixels of a square patch; it divides the side. */
  readonly patch: number;
}

export interface TextArchitecture extends TransformerArchitecture {
  /** Longest sequence, start and end token included. */
  readonly maxTokens: number;
  readonly vocabulary: number;
  /** Id at whose first occurrence a sequence is pooled. */
  readonly endToken: number;
}

/**
 * The numbers of transformers' `CLIPConfig` on which the graph depends.
 *
 * @see Radford et al. 2021, arXiv:2103.00020.
 */
export interface ClipArchitecture {
  /** Length of an embedding, the same for pictures and texts. */
  readonly dimensions: number;
  readonly vision: VisionArchitecture;
  readonly text: TextArchitecture;
}
