/** The board of pictures and texts that are compared. */
import { useReducer } from "react";
import type { ImageInput } from "../client.ts";

/** Items that one board holds: as many as a matrix can show. */
export const maxItems = 24;

/** One of them. */
export type BoardItem = {
  readonly key: number;
  /** Once it is there. */
  readonly vector?: readonly number[];
  /** `data:` URI, where the answer had one. */
  readonly thumbnail?: string | undefined;
  /** Whether it has its vector, or will have none. */
  readonly isSettled: boolean;
} & (
  | { readonly kind: "picture"; readonly image: ImageInput }
  | { readonly kind: "text"; readonly text: string }
);

type Change =
  | { readonly kind: "add-pictures"; readonly images: readonly ImageInput[] }
  | { readonly kind: "add-text"; readonly text: string }
  | { readonly kind: "remove"; readonly key: number }
  | ({ readonly kind: "settle"; readonly key: number } & Pick<BoardItem, "vector" | "thumbnail">)
  /** Whatever has no vector is tried again. */
  | { readonly kind: "clear" };

export interface Board {
  readonly items: readonly BoardItem[];
  /** How many did not fit. */
  readonly leftOut: number;
}

/** Changes a board; beyond {@link maxItems} it takes nothing. */
export function changeBoard(board: Board, change: Change): Board {
  const { items } = board;
  const nextKey = (items.at(-1)?.key ?? 0) + 1;
  const place = { isSettled: false };
  switch (change.kind) {
    case "add-pictures": {
      const room = maxItems - items.length;
      const added = change.images
        .slice(0, room)
        .map(
          (image, index) => ({ kind: "picture", key: nextKey + index, image, ...place }) as const,
        );
      return { items: [...items, ...added], leftOut: change.images.length - added.length };
    }
    case "add-text": {
      if (items.length >= maxItems) return { items, leftOut: 1 };
      const added = { kind: "text", key: nextKey, text: change.text, ...place } as const;
      return { items: [...items, added], leftOut: 0 };
    }
    case "remove":
      return { items: items.filter(({ key }) => key !== change.key), leftOut: 0 };
    case "settle": {
      const { key, vector, thumbnail } = change;
      const own = { isSettled: true, ...(vector && { vector }), thumbnail };
      return {
        ...board,
        items: items.map((item) => (item.key === key ? { ...item, ...own } : item)),
      };
    }
    case "clear":
      return { items: [], leftOut: 0 };
    default:
      return change satisfies never;
  }
}

/** A board of the page's own. */
export function useBoard() {
  return useReducer(changeBoard, { items: [], leftOut: 0 });
}
