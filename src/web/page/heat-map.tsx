/** A vector as a picture: one cell a number, and the number itself under the pointer or the keyboard's cursor. */
import { type KeyboardEvent, type PointerEvent, useEffect, useRef, useState } from "react";
import { colourOf, type Grid, gridOf, moveIn, reachOf } from "./heat-map-cells.ts";

export function HeatMap({
  vector,
  label,
}: {
  readonly vector: readonly number[];
  readonly label: string;
}) {
  const grid = gridOf(vector.length);
  const reach = reachOf(vector);
  const canvas = useCanvas(vector, grid, reach);
  const [at, setAt] = useState<number>();
  const point = ({ currentTarget, clientX, clientY }: PointerEvent<HTMLElement>) => {
    const { left, top, width, height } = currentTarget.getBoundingClientRect();
    const column = Math.floor(((clientX - left) / width) * grid.columns);
    const row = Math.floor(((clientY - top) / height) * grid.rows);
    const index = row * grid.columns + column;
    setAt(index >= 0 && index < vector.length ? index : undefined);
  };
  const steer = (event: KeyboardEvent) => {
    const next = moveIn(grid, vector.length, at ?? 0, event.key);
    if (next === undefined) return;
    event.preventDefault();
    setAt(next);
  };
  const told = at === undefined ? undefined : tell(vector, at);
  return (
    <div className="heat-map">
      {/* A slider is what has one value of many, and is moved by the arrow keys. */}
      <div
        className="cells"
        role="slider"
        tabIndex={0}
        aria-label={`${label}, number by number`}
        aria-valuemin={0}
        aria-valuemax={vector.length - 1}
        aria-valuenow={at ?? 0}
        aria-valuetext={told ?? tell(vector, 0)}
        onPointerMove={point}
        onPointerDown={point}
        onPointerLeave={({ pointerType }) => pointerType === "mouse" && setAt(undefined)}
        onKeyDown={steer}
        onFocus={() => setAt((index) => index ?? 0)}
        onBlur={() => setAt(undefined)}
      >
        <canvas ref={canvas} width={grid.columns} height={grid.rows} />
        {at !== undefined && (
          <span
            className="cursor"
            style={{
              left: `${((at % grid.columns) / grid.columns) * 100}%`,
              top: `${(Math.floor(at / grid.columns) / grid.rows) * 100}%`,
              width: `${100 / grid.columns}%`,
              height: `${100 / grid.rows}%`,
            }}
          />
        )}
      </div>
      <p className="legend">
        <output>
          {told ?? (
            <span className="hint">
              {grid.rows} × {grid.columns}: point at a number
              <span className="keys">, or use the arrow keys</span>
            </span>
          )}
        </output>
        <span className="scale" aria-hidden="true">
          −{reach.toFixed(2)} <i /> {reach.toFixed(2)}
        </span>
      </p>
    </div>
  );
}

function tell(vector: readonly number[], index: number): string {
  return `[${index}] = ${vector[index]}`;
}

/** Draws the cells, and again when the colour scheme changes. */
function useCanvas(vector: readonly number[], { columns, rows }: Grid, reach: number) {
  const canvas = useRef<HTMLCanvasElement>(null);
  useEffect(() => {
    const dark = matchMedia("(prefers-color-scheme: dark)");
    const draw = () => {
      const context = canvas.current?.getContext("2d");
      if (!context) return;
      const image = context.createImageData(columns, rows);
      vector.forEach((value, index) => {
        image.data.set([...colourOf(value / reach, dark.matches), 255], index * 4);
      });
      context.putImageData(image, 0, 0);
    };
    draw();
    dark.addEventListener("change", draw);
    return () => dark.removeEventListener("change", draw);
  }, [vector, columns, rows, reach]);
  return canvas;
}
