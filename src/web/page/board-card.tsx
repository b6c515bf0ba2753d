/** One picture or text on the board, which gets its own vector. */
import { useEffect, useRef } from "react";
import { useEmbedding } from "../use-embedding.ts";
import type { BoardItem } from "./board.ts";
import { nameOf, needsThumbnail, Preview } from "./preview.tsx";
import { ProblemNote } from "./problem-note.tsx";
import type { Service } from "./service.ts";
import { useTextEmbedding } from "./use-text-embedding.ts";

export function BoardCard({
  item,
  number,
  model,
  service,
  mayBegin,
  onSettled,
  onRemove,
}: {
  readonly item: BoardItem;
  /** Its name in the matrix. */
  readonly number: number;
  readonly model: string;
  readonly service: Service;
  readonly mayBegin: boolean;
  readonly onSettled: (made: Pick<BoardItem, "vector" | "thumbnail">) => void;
  readonly onRemove: () => void;
}) {
  const image = item.kind === "picture" ? item.image : undefined;
  const text = item.kind === "text" ? item.text : undefined;
  const ofImage = useEmbedding(service.client, mayBegin ? image : undefined, {
    model,
    thumbnail: image !== undefined && needsThumbnail(image),
  });
  const ofText = useTextEmbedding(service.client, mayBegin ? text : undefined, model);
  const state = item.kind === "picture" ? ofImage : ofText;
  useSettled(state, onSettled);
  const name = image === undefined ? `“${text}”` : nameOf(image);
  return (
    <li className="item">
      {image !== undefined && <Preview image={image} thumbnail={item.thumbnail} alt={name} />}
      {text !== undefined && <blockquote>{text}</blockquote>}
      <p className="caption">
        <b>{number}</b> <span>{image === undefined ? "text" : name}</span>
        <button type="button" className="plain" aria-label={`Remove ${name}`} onClick={onRemove}>
          ×
        </button>
      </p>
      {state.status === "loading" && <progress aria-label={`${name} is being embedded`} />}
      {state.status === "failed" && (
        <ProblemNote problem={state.problem} service={service} onRetry={state.retry} isShort />
      )}
    </li>
  );
}

type State = ReturnType<typeof useEmbedding> | ReturnType<typeof useTextEmbedding>;

/** Tells once whatever an item came to. */
function useSettled(
  state: State,
  onSettled: (made: Pick<BoardItem, "vector" | "thumbnail">) => void,
): void {
  const tell = useRef(onSettled);
  tell.current = onSettled;
  const embedding = state.status === "done" ? state.embedding : undefined;
  const hasFailed = state.status === "failed";
  useEffect(() => {
    if (embedding !== undefined) tell.current(embedding);
    else if (hasFailed) tell.current({});
  }, [embedding, hasFailed]);
}
