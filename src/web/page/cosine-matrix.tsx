/** The cosine of each with each. */
import { cosineSimilarity } from "../client.ts";
import type { BoardItem } from "./board.ts";
import { nameOf } from "./preview.tsx";

export function CosineMatrix({ items }: { readonly items: readonly BoardItem[] }) {
  const numbered = items.flatMap(({ vector, ...item }, index) =>
    vector === undefined ? [] : [{ item, vector, number: index + 1 }],
  );
  if (numbered.length < 2) return null;
  return (
    <section aria-label="Cosines">
      <h2>Each with each</h2>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: it may scroll, so the keyboard must reach it. */}
      <section className="matrix" aria-label="Cosine matrix" tabIndex={0}>
        <table>
          <thead>
            <tr>
              <td />
              {numbered.map(({ number, item }) => (
                <th key={number} scope="col" title={titleOf(item)}>
                  {number}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {numbered.map((row) => (
              <tr key={row.number}>
                <th scope="row">
                  <b>{row.number}</b> <span>{titleOf(row.item)}</span>
                </th>
                {numbered.map((column) => {
                  const cosine = cosineSimilarity(row.vector, column.vector);
                  return (
                    <td key={column.number} data-tone={toneOf(cosine)}>
                      {cosine.toFixed(2)}
                    </td>
                  );
                })}
              </tr>
            ))}
          </tbody>
        </table>
      </section>
      <p className="quiet">
        Compare like with like: a fitting text and a picture have a cosine of about 0.3, two
        pictures of one thing 0.8 and more.
      </p>
    </section>
  );
}

/** Ten tones, from none at 0 and below to the full one at 1. */
function toneOf(cosine: number): number {
  return Math.min(9, Math.max(0, Math.floor(cosine * 10)));
}

function titleOf(
  item:
    | Pick<Extract<BoardItem, { kind: "picture" }>, "kind" | "image">
    | Pick<Extract<BoardItem, { kind: "text" }>, "kind" | "text">,
): string {
  return item.kind === "picture" ? nameOf(item.image) : `“${item.text}”`;
}
