/** What one model made of the picture: the vector as a heat map, its length, the time by stage, and the same as code. */
import type { Embedding, ImageInput } from "../client.ts";
import type { EmbeddingState } from "../use-embedding.ts";
import { CodeTabs } from "./code-tabs.tsx";
import { CopyButton } from "./copy-button.tsx";
import { HeatMap } from "./heat-map.tsx";
import { ProblemNote } from "./problem-note.tsx";
import { isStandIn, type Service } from "./service.ts";
import { requestSnippets, vectorSnippets } from "./snippets.ts";
import { Stages } from "./stages.tsx";
import { UploadProgress } from "./upload-progress.tsx";

export function ModelCard({
  id,
  image,
  state,
  service,
  waits,
}: {
  readonly id: string;
  readonly image: ImageInput;
  readonly state: EmbeddingState & { readonly retry: () => void };
  readonly service: Service;
  /** Why it has not begun. */
  readonly waits?: string | undefined;
}) {
  const title = state.status === "done" ? state.embedding.model : id;
  return (
    <section className="card" aria-label={id}>
      <h2>
        {title}
        {state.status === "done" && <span> {state.embedding.dimensions} numbers</span>}
      </h2>
      {state.status === "idle" && <p className="quiet">{waits}</p>}
      {state.status === "loading" && (
        <UploadProgress {...state} isUpload={typeof image !== "string"} />
      )}
      {state.status === "failed" && (
        <ProblemNote problem={state.problem} service={service} onRetry={state.retry} />
      )}
      {state.status === "done" && (
        <Result
          embedding={state.embedding}
          isTold={service.local?.id === state.embedding.model}
          snippets={requestSnippets(image, id, {
            origin: location.origin,
            hasKey: service.apiKey !== undefined,
          })}
        />
      )}
    </section>
  );
}

function Result({
  embedding,
  isTold,
  snippets,
}: {
  readonly embedding: Embedding;
  /** Whether the page says already what this model is. */
  readonly isTold: boolean;
  readonly snippets: Readonly<Record<string, string>>;
}) {
  const { vector, model, stages } = embedding;
  return (
    <>
      {isStandIn(model) && !isTold && (
        <p className="quiet">From a stand-in: this vector means nothing.</p>
      )}
      <HeatMap vector={vector} label={`Vector of ${model}`} />
      <dl className="facts">
        <div>
          <dt>norm</dt>
          <dd>{Math.hypot(...vector).toFixed(4)}</dd>
        </div>
        <div>
          <dt>smallest</dt>
          <dd>{Math.min(...vector).toFixed(4)}</dd>
        </div>
        <div>
          <dt>largest</dt>
          <dd>{Math.max(...vector).toFixed(4)}</dd>
        </div>
      </dl>
      <Stages stages={stages} />
      <div className="copies">
        <span>Copy the vector as</span>
        {Object.entries(vectorSnippets(embedding)).map(([language, text]) => (
          <CopyButton key={language} text={text}>
            {language}
          </CopyButton>
        ))}
      </div>
      <CodeTabs model={model} snippets={snippets} />
    </>
  );
}
