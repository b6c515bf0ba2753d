/** The parts of the page that need no browser. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { type Board, changeBoard, maxItems } from "../../src/web/page/board.ts";
import { colourOf, gridOf, moveIn, reachOf } from "../../src/web/page/heat-map-cells.ts";
import { requestSnippets } from "../../src/web/page/snippets.ts";

describe("a heat map", () => {
  test.each([
    [512, 16, 32],
    [768, 24, 32],
    [1536, 32, 48],
    [1, 1, 1],
    [7, 1, 7],
  ])("of %d numbers has %d rows of %d", (length, rows, columns) => {
    expect(gridOf(length)).toEqual({ rows, columns });
  });

  test("has a cell for each number and no other, and is never higher than wide", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 5000 }), (length) => {
        const { rows, columns } = gridOf(length);
        expect(rows * columns).toBe(length);
        expect(rows).toBeLessThanOrEqual(columns);
      }),
    );
  });

  test("is never left by a key", () => {
    const keys = ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "PageUp", "PageDown", "Home"];
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 2000 }),
        fc.array(fc.constantFrom(...keys, "End")),
        (length, pressed) => {
          let at = 0;
          for (const key of pressed) at = moveIn(gridOf(length), length, at, key) ?? at;
          expect(at).toBeWithin(0, length);
        },
      ),
    );
    expect(moveIn(gridOf(4), 4, 0, "Tab")).toBeUndefined();
  });

  test("does not fade where one number is far beyond the others", () => {
    const vector = Array.from({ length: 100 }, (_, index) => (index === 50 ? -90 : index / 100));
    expect(reachOf(vector)).toBeLessThan(1);
    expect(reachOf([0, 0])).toBe(1);
    expect(colourOf(-90 / reachOf(vector), false)).toEqual(colourOf(-1, false));
    expect(colourOf(0, true)).not.toEqual(colourOf(0, false));
  });
});

describe("the board", () => {
  const empty: Board = { items: [], leftOut: 0 };
  const pictures = (count: number) =>
    Array.from({ length: count }, (_, index) => `http://a/${index}`);

  test("takes no more than a matrix can show, and says how many it left out", () => {
    const full = changeBoard(empty, { kind: "add-pictures", images: pictures(maxItems + 3) });
    expect([full.items.length, full.leftOut]).toEqual([maxItems, 3]);
    expect(changeBoard(full, { kind: "add-text", text: "a" })).toMatchObject({ leftOut: 1 });
    expect(changeBoard(full, { kind: "clear" })).toEqual(empty);
  });

  test("gives a vector to its own item, also after another was removed", () => {
    const three = changeBoard(empty, { kind: "add-pictures", images: pictures(3) });
    const [first, second] = three.items;
    const two = changeBoard(three, { kind: "remove", key: first?.key ?? 0 });
    const more = changeBoard(two, { kind: "add-text", text: "a" });
    expect(new Set(more.items.map(({ key }) => key)).size).toBe(3);
    const settled = changeBoard(more, { kind: "settle", key: second?.key ?? 0, vector: [1] });
    expect(settled.items.map(({ vector }) => vector)).toEqual([[1], undefined, undefined]);
  });
});

describe("a request as code", () => {
  const at = { origin: "http://localhost:8000", hasKey: true };

  test("names the key's variable and never the key, in every language", () => {
    for (const image of ["https://a.example/a b.jpg", new File([], "it's.png")]) {
      const { curl, Python, JavaScript } = requestSnippets(image, "nv-dinov2", at);
      expect(curl).toContain("Bearer $IMAGESVC_API_KEY");
      expect(Python).toContain(`os.environ["IMAGESVC_API_KEY"]`);
      expect(JavaScript).toContain(`"Bearer " + apiKey`);
    }
  });

  test("reaches the service word for word through a shell, whatever the URL has", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme", minLength: 1 }), (path) => {
        const url = `https://a.example/${path.replaceAll("\0", "")}`;
        const { curl = "" } = requestSnippets(url, "clip-ViT-B-32", { ...at, hasKey: false });
        const script = `curl() { for last; do :; done; printf %s "$last"; }\n${curl}`;
        const { stdout } = Bun.spawnSync(["sh", "-c", script]);
        expect(stdout.toString()).toBe(`imageUrl=${url}`);
      }),
      { numRuns: 25 },
    );
  });
});
