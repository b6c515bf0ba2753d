/** Several pictures and texts on one board: ranked by a text, and each with each. */
import { type FormEvent, useId, useState } from "react";
import { maxItems, useBoard } from "./board.ts";
import { BoardCard } from "./board-card.tsx";
import { CosineMatrix } from "./cosine-matrix.tsx";
import { PictureInput } from "./picture-input.tsx";
import { Ranking } from "./ranking.tsx";
import { plainId, type Service } from "./service.ts";

/** Requests that the board has under way at once. */
const maxUnderWay = 3;

export function CompareView({
  service,
  isShown,
}: {
  readonly service: Service;
  readonly isShown: boolean;
}) {
  const [{ items, leftOut }, change] = useBoard();
  const model = service.local && plainId(service.local);
  const begun = new Set(items.filter(({ isSettled }) => !isSettled).slice(0, maxUnderWay));
  const pictures = items.filter((item) => item.kind === "picture");
  return (
    <div className="compare">
      <div className="side">
        <PictureInput
          isMany
          isShown={isShown}
          onPictures={(images) => change({ kind: "add-pictures", images })}
        />
        <TextForm onText={(text) => change({ kind: "add-text", text })} />
        {leftOut > 0 && (
          <p className="quiet" role="status">
            The board holds {maxItems}; {leftOut === 1 ? "one was" : `${leftOut} were`} left out.
            Remove some first.
          </p>
        )}
      </div>
      <div className="results">
        {items.length === 0 && (
          <section className="introduction">
            <h2>Which pictures are alike?</h2>
            <p>
              Put pictures and texts on the board. Each gets its vector from{" "}
              {model ?? "the model that runs here"}; the cosine of two vectors says how alike two
              pictures are, or how well a text fits a picture. Then type what you look for, such as
              “a dog in the snow”, and the pictures are ranked.
            </p>
          </section>
        )}
        {model !== undefined && items.length > 0 && (
          <>
            <Ranking service={service} model={model} pictures={pictures} />
            <section aria-label="Board">
              <h2>
                On the board <span>{items.length}</span>
                <button type="button" className="plain" onClick={() => change({ kind: "clear" })}>
                  Clear it
                </button>
              </h2>
              <ul className="board">
                {items.map((item, index) => (
                  <BoardCard
                    key={item.key}
                    item={item}
                    number={index + 1}
                    model={model}
                    service={service}
                    mayBegin={item.isSettled || begun.has(item)}
                    onSettled={(made) => change({ kind: "settle", key: item.key, ...made })}
                    onRemove={() => change({ kind: "remove", key: item.key })}
                  />
                ))}
              </ul>
            </section>
            <CosineMatrix items={items} />
          </>
        )}
      </div>
    </div>
  );
}

function TextForm({ onText }: { readonly onText: (text: string) => void }) {
  const id = useId();
  const [text, setText] = useState("");
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (text.trim() === "") return;
    onText(text.trim());
    setText("");
  };
  return (
    <form className="field boxed" onSubmit={submit}>
      <label htmlFor={id}>or a text</label>
      <input
        id={id}
        type="text"
        placeholder="a harbour at dusk"
        value={text}
        onChange={({ target }) => setText(target.value)}
      />
      <button type="submit">Add</button>
    </form>
  );
}
