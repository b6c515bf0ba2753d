/** A native library or binding that can be loaded. */
export interface NativeFile {
  /** Its name for the loader: the `SONAME` of a library, or what `loadBinding` is asked for. */
  readonly name: string;
  /** Where its bytes can be read. */
  readonly path: string;
}

/** A native library or binding inside the executable. */
export interface EmbeddedFile extends NativeFile {
  readonly bytes: number;
  /** Digest of its bytes, in hexadecimal digits. */
  readonly sha256: string;
}

/** What the executable carries beside its code. */
interface Embedded {
  /** Libraries come before the bindings that need them. */
  readonly nativeFiles: readonly EmbeddedFile[];
  /** Path of the inference worker's module inside the executable. */
  readonly inferenceWorker: string;
  /** Path of the JSON worker's module inside the executable. */
  readonly jsonWorker: string;
  /** Path of the module inside the executable that hashes images and writes the embedding cache. */
  readonly cacheWorker: string;
  /** Paths of the page's files inside the executable. */
  readonly webPage: { readonly script: string; readonly style: string };
}

/** Nothing from source: the build puts a module of its own in this one's place (`build-plugin.ts`). */
export const embedded: Embedded | undefined = undefined;
