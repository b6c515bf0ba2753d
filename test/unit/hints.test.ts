/** Hints that a picture may not be worth a vector. */
import { expect, test } from "bun:test";
import sharp, { type Sharp } from "sharp";
import { hintsOf } from "../../src/image/hints.ts";
import { makePixels } from "../support/pictures.ts";

const side = 224;

/** The view of a picture that is shown whole. */
async function viewOf(
  kind: "gradient" | "noise" | "text",
  change: (picture: Sharp) => Sharp = (picture) => picture,
): Promise<Uint8Array> {
  const raw = { width: side, height: side, channels: 3 } as const;
  const picture = sharp(makePixels({ width: side, height: side, kind }), { raw });
  return await change(picture).raw().toBuffer();
}

test("a sharp picture of a usual size has none", async () => {
  for (const kind of ["text", "noise"] as const) {
    expect(hintsOf(await viewOf(kind), 480)).toEqual([]);
  }
});

test("a blurred picture has one, and the more it is blurred, the surer", async () => {
  for (const sigma of [8, 12, 20]) {
    const view = await viewOf("text", (picture) => picture.blur(sigma).normalise());
    expect(hintsOf(view, 480)).toEqual(["blurred"]);
  }
});

test("a plain picture is not blurred: there is nothing in it to be sharp", () => {
  expect(hintsOf(new Uint8Array(side * side * 3).fill(200), 480)).toEqual([]);
});

test("a picture in the dark is nearly black, with a few bright pixels as well, and not blurred", () => {
  const view = new Uint8Array(side * side * 3).fill(5);
  view.fill(255, 0, Math.floor(view.length / 100));
  expect(hintsOf(view, 480)).toEqual(["nearly-black"]);
  view.fill(255, 0, Math.floor(view.length / 20));
  expect(hintsOf(view, 480)).toEqual([]);
});

test("a picture of less than 112 pixels is too small, and what was made larger is not called blurred", async () => {
  const view = await viewOf("text", (picture) => picture.blur(12));
  expect(hintsOf(view, 111)).toEqual(["too-small"]);
  expect(hintsOf(await viewOf("text"), 112)).toEqual([]);
});
