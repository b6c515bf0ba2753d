/** Pictures for documentation: a sky, a sun and hills, each seed another place and another hour. */
import sharp from "sharp";
import type { Bytes } from "./pictures.ts";

type Colour = readonly [red: number, green: number, blue: number];

/** Sky above, sky at the horizon, sun, hills. */
const palettes: readonly (readonly [Colour, Colour, Colour, Colour])[] = [
  [
    [96, 152, 214],
    [246, 214, 170],
    [255, 238, 196],
    [47, 72, 88],
  ],
  [
    [14, 26, 58],
    [70, 104, 148],
    [240, 236, 214],
    [22, 34, 52],
  ],
  [
    [196, 214, 230],
    [250, 250, 250],
    [255, 255, 255],
    [150, 172, 182],
  ],
  [
    [226, 88, 34],
    [255, 196, 92],
    [255, 232, 160],
    [58, 36, 44],
  ],
  [
    [120, 190, 230],
    [214, 236, 214],
    [255, 250, 210],
    [66, 118, 62],
  ],
];

const width = 960;
const height = 640;

/** Makes a JPEG of 960×640. */
export async function makeLandscape(seed: number): Promise<Bytes> {
  const [top, low, sun, hills] = palettes[seed % palettes.length] ?? [];
  if (top === undefined || low === undefined || sun === undefined || hills === undefined) {
    throw new RangeError("a seed is a whole number");
  }
  const pixels = new Uint8Array(width * height * 3);
  const sunX = 220 + ((seed * 137) % 520);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const isSun = Math.hypot(x - sunX, y - 190) < 62;
      const colour = hillAt(x, y, seed) ?? (isSun ? sun : mix(top, low, y / (height * 0.75)));
      const shade = typeof colour === "number" ? mix(low, hills, colour) : colour;
      pixels.set(shade, (y * width + x) * 3);
    }
  }
  const raw = { width, height, channels: 3 } as const;
  return new Uint8Array(await sharp(pixels, { raw }).jpeg({ quality: 88 }).toBuffer());
}

/** How near the hill is that stands at a point, from 0.5 to 1; undefined where there is sky. */
function hillAt(x: number, y: number, seed: number): number | undefined {
  for (const [row, share] of [1, 0.75, 0.5].entries()) {
    const wave = Math.sin(x / (90 + row * 70) + seed * 2 + row) + Math.sin(x / 37 + seed) * 0.25;
    if (y > height * (0.82 - row * 0.14) - wave * (46 + row * 22)) return share;
  }
  return undefined;
}

function mix(a: Colour, b: Colour, share: number): Colour {
  const part = Math.min(1, Math.max(0, share));
  const one = (index: 0 | 1 | 2) => Math.round(a[index] + (b[index] - a[index]) * part);
  return [one(0), one(1), one(2)];
}
