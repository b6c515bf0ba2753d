/** What one model made of the picture: the vector as a heat map, its length, and the same as code. */
import type { ImageInput, OfOneModel } from "../client.ts";
import { CodeTabs } from "./code-tabs.tsx";
import { CopyButton } from "./copy-button.tsx";
import { HeatMap } from "./heat-map.tsx";
import { ProblemNote } from "./problem-note.tsx";
import { isStandIn, type Service } from "./service.ts";
import { requestSnippets, vectorSnippets } from "./snippets.ts";

export function ModelCard({
  id,
  image,
  result,
  service,
  onRetry,
}: {
  readonly id: string;
  readonly image: ImageInput;
  readonly result: OfOneModel;
  readonly service: Service;
  readonly onRetry: () => void;
}) {
  const { model, vector, problem } = result;
  return (
    <section className="card" aria-label={id}>
      <h2>
        {model}
        {vector && <span> {vector.length} numbers</span>}
      </h2>
      {problem && <ProblemNote problem={problem} service={service} onRetry={onRetry} />}
      {vector && (
        <Result
          model={model}
          vector={vector}
          isTold={service.local?.id === model}
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
  model,
  vector,
  isTold,
  snippets,
}: {
  readonly model: string;
  readonly vector: readonly number[];
  /** Whether the page says already what this model is. */
  readonly isTold: boolean;
  readonly snippets: Readonly<Record<string, string>>;
}) {
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
      <div className="copies">
        <span>Copy the vector as</span>
        {Object.entries(vectorSnippets({ model, vector })).map(([language, text]) => (
          <CopyButton key={language} text={text}>
            {language}
          </CopyButton>
        ))}
      </div>
      <CodeTabs model={model} snippets={snippets} />
    </>
  );
}
