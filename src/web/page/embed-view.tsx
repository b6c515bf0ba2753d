/** One picture, and what each model makes of it. */
import { useState } from "react";
import type { ImageInput, ModelState } from "../client.ts";
import { ModelCard } from "./model-card.tsx";
import { ModelMissing } from "./model-missing.tsx";
import { PictureInput } from "./picture-input.tsx";
import { nameOf, needsThumbnail, Preview } from "./preview.tsx";
import { ProblemNote } from "./problem-note.tsx";
import { plainId, type Service } from "./service.ts";
import { Stages } from "./stages.tsx";
import { UploadProgress } from "./upload-progress.tsx";
import { useEachEmbedding } from "./use-each-embedding.ts";

export function EmbedView({
  service,
  isShown,
}: {
  readonly service: Service;
  readonly isShown: boolean;
}) {
  const [image, setImage] = useState<ImageInput>();
  const { client, local, hosted } = service;
  const known = [local, hosted].filter((model) => model !== undefined);
  const ready = known.filter(({ state }) => state === "ready").map(plainId);
  const thumbnail = image !== undefined && needsThumbnail(image);
  const state = useEachEmbedding(client, image, ready, thumbnail);
  const answer = state.status === "done" ? state.answer : undefined;
  return (
    <div className="embed">
      <div className="side">
        <PictureInput onPictures={([picture]) => setImage(picture)} isShown={isShown} />
        {image !== undefined && <Chosen image={image} thumbnail={answer?.thumbnail} />}
        {answer && <Stages stages={answer.stages} />}
      </div>
      <div className="results" aria-live="polite">
        {image === undefined && <Introduction />}
        {image !== undefined && known.length === 0 && (
          <p className="quiet">The picture waits until the service says which models it has.</p>
        )}
        {image !== undefined && state.status === "loading" && (
          <section className="card whole" aria-label="Under way">
            <UploadProgress {...state} isUpload={typeof image !== "string"} />
          </section>
        )}
        {state.status === "failed" && (
          <ProblemNote problem={state.problem} service={service} onRetry={state.retry} />
        )}
        {image !== undefined &&
          answer?.results.map((result, index) => (
            <ModelCard
              key={ready[index]}
              id={ready[index] ?? result.model}
              image={image}
              result={result}
              service={service}
              onRetry={state.retry}
            />
          ))}
        {known.filter(isMissing).map((model) => (
          <ModelMissing key={model.id} model={model} waits={image !== undefined} />
        ))}
      </div>
    </div>
  );
}

function isMissing({ state }: ModelState): boolean {
  return state !== "ready";
}

function Chosen({
  image,
  thumbnail,
}: {
  readonly image: ImageInput;
  readonly thumbnail: string | undefined;
}) {
  return (
    <figure>
      <Preview image={image} thumbnail={thumbnail} alt="What is embedded" />
      <figcaption>
        {nameOf(image)}
        {typeof image !== "string" && <span> {sizeOf(image.size)}</span>}
      </figcaption>
    </figure>
  );
}

function Introduction() {
  return (
    <section className="introduction">
      <h2>A vector for every picture</h2>
      <p>
        Bring a picture and see what the models make of it: 512 numbers from CLIP, which runs on
        this host, and 1536 from NV-DINOv2, which is NVIDIA’s. Pictures that are alike get vectors
        that point the same way; CLIP gives texts vectors in the same space.
      </p>
      <p>
        To see that, <a href="#compare">compare several pictures and texts</a>.
      </p>
    </section>
  );
}

function sizeOf(bytes: number): string {
  if (bytes < 1000) return `${bytes} bytes`;
  return bytes < 1e6 ? `${Math.round(bytes / 1000)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}
