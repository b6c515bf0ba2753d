/** One picture, and what each model makes of it. */
import { useState } from "react";
import type { ImageInput } from "../client.ts";
import { useEmbedding } from "../use-embedding.ts";
import { HostedModelMissing } from "./hosted-model-missing.tsx";
import { ModelCard } from "./model-card.tsx";
import { PictureInput } from "./picture-input.tsx";
import { nameOf, needsThumbnail, Preview } from "./preview.tsx";
import { ProblemNote } from "./problem-note.tsx";
import { plainId, type Service } from "./service.ts";

export function EmbedView({
  service,
  isShown,
}: {
  readonly service: Service;
  readonly isShown: boolean;
}) {
  const [image, setImage] = useState<ImageInput>();
  const { local, hosted } = service;
  const { first, second } = useBothModels(service, image);
  const made = [first, second].find((one) => one.status === "done");
  return (
    <div className="embed">
      <div className="side">
        <PictureInput onPictures={([picture]) => setImage(picture)} isShown={isShown} />
        {image !== undefined && <Chosen image={image} thumbnail={made?.embedding.thumbnail} />}
      </div>
      <div className="results" aria-live="polite">
        {image === undefined || local === undefined ? (
          <Introduction />
        ) : isUnauthorized(first) ? (
          <ProblemNote problem={first.problem} service={service} />
        ) : (
          <Cards image={image} first={first} second={second} service={service} />
        )}
        {hosted !== undefined && hosted.state !== "ready" && <HostedModelMissing model={hosted} />}
      </div>
    </div>
  );
}

/** The image's vectors, one model after the other: on a slow line the first result comes sooner. */
function useBothModels({ client, local, hosted }: Service, image: ImageInput | undefined) {
  const thumbnail = image !== undefined && needsThumbnail(image);
  const first = useEmbedding(client, local && image, {
    model: local && plainId(local),
    thumbnail,
  });
  const isOver = first.status === "done" || first.status === "failed";
  const mayAsk = hosted?.state === "ready" && isOver && !isUnauthorized(first);
  const second = useEmbedding(client, mayAsk ? image : undefined, {
    model: hosted && plainId(hosted),
    thumbnail: thumbnail && first.status === "failed",
  });
  return { first, second };
}

type State = ReturnType<typeof useEmbedding>;

function Cards({
  image,
  first,
  second,
  service,
}: {
  readonly image: ImageInput;
  readonly first: State;
  readonly second: State;
  readonly service: Service;
}) {
  const { local, hosted } = service;
  return (
    <>
      {local && <ModelCard id={plainId(local)} image={image} state={first} service={service} />}
      {hosted?.state === "ready" && (
        <ModelCard
          id={plainId(hosted)}
          image={image}
          state={second}
          service={service}
          waits={local && `It comes after ${plainId(local)}.`}
        />
      )}
    </>
  );
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

type Failed = Extract<State, { status: "failed" }>;

function isUnauthorized(state: State): state is Failed {
  return state.status === "failed" && state.problem.code === "unauthorized";
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
