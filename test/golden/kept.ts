/** What `reference.py` made with seeded weights, kept for where there is no Python; few of each, for vectors are long. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { LocalModelId } from "../../src/models/catalog.ts";
import type { Reference } from "../support/reference.ts";
import b16 from "./clip-vit-b-16.json" with { type: "json" };
import b32 from "./clip-vit-b-32.json" with { type: "json" };
import l14 from "./clip-vit-l-14.json" with { type: "json" };

/** By model. */
export const kept: Readonly<Record<LocalModelId, Reference>> = {
  "clip-ViT-B-32": b32,
  "clip-ViT-B-16": b16,
  "clip-ViT-L-14": l14,
};

/** Which pictures, and of how many texts one. */
const few = {
  images: ["pattern-96x130.png", "gradient.jpg", "alpha.png", "page.webp"],
  textEvery: 12,
};
const more = {
  images: [
    ...few.images,
    "pattern-640x480.png",
    ...["CLIP.png", "st-cat.jpg", "st-eiffel-tower-day.jpg", "st-two_dogs_in_snow.jpg"],
  ],
  textEvery: 5,
};
const choices: Readonly<Record<LocalModelId, typeof few>> = {
  "clip-ViT-B-32": more,
  "clip-ViT-B-16": few,
  "clip-ViT-L-14": few,
};

/** Keeps what later runs compare with. */
export async function keep(
  id: LocalModelId,
  { madeWith, images, texts }: Reference,
): Promise<void> {
  const choice = choices[id];
  const chosen = {
    madeWith,
    images: Object.fromEntries(
      Object.entries(images).filter(([name]) => choice.images.includes(name)),
    ),
    texts: texts.filter((_, index) => index % choice.textEvery === 0),
  };
  const path = join(import.meta.dir, `${id.toLowerCase()}.json`);
  await writeFile(path, `${JSON.stringify(chosen, null, 1)}\n`);
}
