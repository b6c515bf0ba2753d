/** Pictures in the order in which they fit a text. */
import { type FormEvent, useId, useState } from "react";
import { cosineSimilarity } from "../client.ts";
import type { BoardItem } from "./board.ts";
import { nameOf, Preview } from "./preview.tsx";
import { ProblemNote } from "./problem-note.tsx";
import type { Service } from "./service.ts";
import { useTextEmbedding } from "./use-text-embedding.ts";

type Picture = Extract<BoardItem, { kind: "picture" }>;

export function Ranking({
  service,
  model,
  pictures,
}: {
  readonly service: Service;
  readonly model: string;
  readonly pictures: readonly Picture[];
}) {
  const id = useId();
  const [typed, setTyped] = useState("");
  const [wanted, setWanted] = useState<string>();
  const state = useTextEmbedding(service.client, wanted, model);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    setWanted(typed.trim() || undefined);
  };
  return (
    <section className="ranking" aria-label="Ranking">
      <h2>Rank the pictures</h2>
      <form className="field" onSubmit={submit}>
        <label htmlFor={id}>What do you look for?</label>
        <input
          id={id}
          type="search"
          placeholder="a dog in the snow"
          value={typed}
          onChange={({ target }) => setTyped(target.value)}
        />
        <button type="submit">Rank</button>
      </form>
      {state.status === "loading" && <progress aria-label="The text is being embedded" />}
      {state.status === "failed" && (
        <ProblemNote problem={state.problem} service={service} onRetry={state.retry} />
      )}
      {state.status === "done" && (
        <Ranked vector={state.embedding.vector} pictures={pictures} text={wanted ?? ""} />
      )}
      {state.status === "done" && state.embedding.isTruncated && (
        <p className="quiet">The end of the text was left out: the model reads 77 tokens.</p>
      )}
    </section>
  );
}

function Ranked({
  vector,
  pictures,
  text,
}: {
  readonly vector: readonly number[];
  readonly pictures: readonly Picture[];
  readonly text: string;
}) {
  const ranked = pictures
    .flatMap((picture) =>
      picture.vector === undefined
        ? []
        : [{ picture, cosine: cosineSimilarity(vector, picture.vector) }],
    )
    .sort((a, b) => b.cosine - a.cosine);
  if (ranked.length === 0) return <p className="quiet">There is no picture on the board yet.</p>;
  const cosines = ranked.map(({ cosine }) => cosine);
  const [best, worst] = [Math.max(...cosines), Math.min(...cosines)];
  return (
    <ol className="ranked" aria-label={`Pictures by how well “${text}” fits`}>
      {ranked.map(({ picture, cosine }) => (
        <li key={picture.key}>
          <Preview image={picture.image} thumbnail={picture.thumbnail} alt="" />
          <span className="name">{nameOf(picture.image)}</span>
          {/* Between a text and pictures cosines lie close together, so the bar shows their order, not their size. */}
          <meter
            min={0}
            max={1}
            value={best === worst ? 1 : 0.05 + (0.95 * (cosine - worst)) / (best - worst)}
            aria-hidden="true"
          />
          <output>{cosine.toFixed(4)}</output>
        </li>
      ))}
    </ol>
  );
}
