/** How far a request is: the upload by bytes, then the wait for the model. */
import type { EmbeddingState } from "../use-embedding.ts";

export function UploadProgress({
  progress,
  waitingFor,
  isUpload,
}: Omit<Extract<EmbeddingState, { status: "loading" }>, "status"> & {
  readonly isUpload: boolean;
}) {
  if (waitingFor !== undefined) {
    const { title, retryAfterS } = waitingFor;
    const when = retryAfterS === undefined ? "soon" : `in ${Math.ceil(retryAfterS)} s`;
    return <Bar words={`${title}. It is tried again ${when}.`} />;
  }
  if (!isUpload) return <Bar words="The service fetches and embeds it …" />;
  if (progress === undefined || progress.totalBytes === 0) return <Bar words="Uploading …" />;
  const { sentBytes, totalBytes } = progress;
  if (sentBytes >= totalBytes) return <Bar words="Uploaded. The models are at work …" />;
  const percent = Math.floor((100 * sentBytes) / totalBytes);
  const words = `Uploading: ${percent} % of ${(totalBytes / 1e6).toFixed(1)} MB`;
  return <Bar words={words} value={sentBytes / totalBytes} />;
}

/** @param value from 0 to 1; undefined where nobody knows how long it takes. */
function Bar({ words, value }: { readonly words: string; readonly value?: number }) {
  return (
    <div className="progress">
      <p>{words}</p>
      <progress aria-label={words} {...(value !== undefined && { value })} />
    </div>
  );
}
