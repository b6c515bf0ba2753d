import { ascii, type Bytes, bigEndian, concat, makeAvif } from "../../support/pictures.ts";
import type { HostileFile } from "../corpus.ts";
import { describeAvif } from "../layouts/avif.ts";
import { encodeBlank } from "./pieces.ts";

/** An image of a HEIF file (ISO 23008-12, section 6). */
interface Item {
  readonly type: "av01" | "grid" | "iovl" | "iden";
  readonly data: Uint8Array;
  /** Numbers, from 1, of the items that it is made of. */
  readonly from?: readonly number[];
  /** Pixels that it claims. */
  readonly width: number;
  readonly height: number;
}

const small = { width: 40, height: 24 };

/** What pictures claim to be. */
const sides = [
  [65_535, 65_535],
  [10_000, 9_999],
  [10_000_000, 2],
  [2, 10_000_000],
  [65_535, 380],
] as const;

/** AVIFs that claim much, or are made of one small picture again and again. */
export async function avifBombs(): Promise<HostileFile[]> {
  const avif = await makeAvif(small);
  const coded = (size = small): Item => ({ type: "av01", data: bodyOf(avif, "mdat"), ...size });
  const configuration = boxOf(avif, "av1C");
  const file = (...items: readonly Item[]) => makeHeif(configuration, items);
  const grid = (columns: number, rows: number, from?: readonly number[]): Item => {
    const width = columns * small.width;
    const height = rows * small.height;
    const numbers = Uint8Array.of(0, 1, rows - 1, columns - 1);
    const tiles = from ?? new Array<number>(columns * rows).fill(2);
    return {
      type: "grid",
      data: concat(numbers, bigEndian(width, height)),
      from: tiles,
      width,
      height,
    };
  };
  const overlay = (width: number, height: number, count: number): Item => {
    const head = concat(Uint8Array.of(0, 1), new Uint8Array(8), bigEndian(width, height));
    const data = concat(head, new Uint8Array(count * 8));
    return { type: "iovl", data, from: new Array<number>(count).fill(2), width, height };
  };
  const { width, height } = { width: 4_000, height: 4_000 };
  const wide = await encodeBlank(width, height, (picture) => picture.avif({ effort: 0 }));
  const wideItem: Item = { type: "av01", data: bodyOf(wide, "mdat"), width, height };
  const croppedGrid = {
    data: concat(Uint8Array.of(0, 1, 15, 15), bigEndian(width, height)),
    ...{ width, height },
  };
  const same = (from: number, size = small): Item => ({
    ...{ type: "iden", data: new Uint8Array(), from: [from] },
    ...size,
  });
  return [
    { name: "an AVIF put together by hand, sound", bytes: file(coded()) },
    ...sides.map(([width, height]) => ({
      name: `an AVIF that claims ${width}×${height}`,
      bytes: file(coded({ width, height })),
    })),
    ...boxBombs(avif),
    { name: "an AVIF that claims 0×0", bytes: file(coded({ width: 0, height: 0 })) },
    { name: "an AVIF of 4×4 tiles, sound", bytes: file(grid(4, 4), coded()) },
    { name: "an AVIF of 255×255 tiles that are all one", bytes: file(grid(255, 255), coded()) },
    { name: "an AVIF of 60×60 tiles that are all one", bytes: file(grid(60, 60), coded()) },
    { name: "an AVIF of tiles that are itself", bytes: file(grid(2, 2, [1, 1, 1, 1]), coded()) },
    {
      name: "an AVIF of tiles of tiles of tiles",
      bytes: file(
        grid(4, 4),
        grid(4, 4, new Array<number>(16).fill(3)),
        grid(4, 4, new Array<number>(16).fill(4)),
        coded(),
      ),
    },
    { name: "an AVIF of tiles that are not there", bytes: file(grid(2, 2, [9, 9, 9, 9]), coded()) },
    {
      name: "an AVIF of one picture laid over itself 60000 times",
      bytes: file(overlay(40, 24, 60_000), coded()),
    },
    {
      name: "an AVIF of 10000×9999 with one picture laid on 1000 times",
      bytes: file(overlay(10_000, 9_999, 1_000), coded()),
    },
    {
      name: "an AVIF of 16 megapixels laid over themselves 8 times",
      bytes: makeHeif(boxOf(wide, "av1C"), [overlay(width, height, 8), wideItem]),
    },
    {
      name: "an AVIF of 4000×4000 whose 256 tiles are each as large",
      bytes: makeHeif(boxOf(wide, "av1C"), [{ ...grid(16, 16), ...croppedGrid }, wideItem]),
    },
    {
      name: "an AVIF of 4000×4000 whose tiles are said to be smaller than they are",
      bytes: makeHeif(boxOf(wide, "av1C"), [
        { ...grid(16, 16), ...croppedGrid },
        { ...wideItem, width: 250, height: 250 },
      ]),
    },
    {
      name: "an AVIF of 4000×4000 whose tiles are each another's copy",
      bytes: makeHeif(boxOf(wide, "av1C"), [
        {
          ...grid(8, 8),
          ...croppedGrid,
          data: concat(Uint8Array.of(0, 1, 7, 7), bigEndian(width, height)),
        },
        same(3, { width, height }),
        wideItem,
      ]),
    },
    {
      name: "an AVIF with 256 pictures of which one is shown",
      bytes: makeHeif(boxOf(wide, "av1C"), new Array<Item>(250).fill(wideItem)),
    },
    { name: "an AVIF that is the same as itself", bytes: file(same(1), coded()) },
    { name: "an AVIF of two that are each the other", bytes: file(same(2), same(1), coded()) },
    {
      name: "an AVIF that is another after hundreds of turns",
      bytes: file(...Array.from({ length: 500 }, (_, index) => same(index + 2)), coded()),
    },
  ];
}

/** A sound AVIF with more boxes than anybody reads in time. */
function boxBombs(avif: Bytes): HostileFile[] {
  const boxes = Buffer.alloc(16_000_000, box("free"));
  return [
    { name: "an AVIF with two million boxes behind it", bytes: concat(avif, boxes) },
    {
      name: "an AVIF with two million boxes inside its meta box",
      bytes: concat(avif, box("meta", bigEndian(0), boxes)),
    },
  ];
}

function makeHeif(configuration: Uint8Array, items: readonly Item[]): Bytes {
  const head = box("ftyp", ascii("avif"), bigEndian(0), ascii("avifmif1miaf"));
  const data = concat(...items.map((item) => item.data));
  const dataAt = head.length + metaBox(configuration, items, 0).length + 8;
  return concat(head, metaBox(configuration, items, dataAt), box("mdat", data));
}

/** What is known of the items; the first is the one that is shown. */
function metaBox(configuration: Uint8Array, items: readonly Item[], dataAt: number): Bytes {
  let at = dataAt;
  const places = items.map(({ data }, index) => {
    const place = concat(shorts(index + 1, 0, 0, 1), bigEndian(at, data.length));
    at += data.length;
    return place;
  });
  const infos = items.map(({ type }, index) =>
    box("infe", bigEndian(0x02000000), shorts(index + 1, 0), ascii(`${type}\0`)),
  );
  const references = items.flatMap(({ from }, index) =>
    from === undefined ? [] : [box("dimg", shorts(index + 1, from.length, ...from))],
  );
  const sizes = items.map(({ width, height }) => box("ispe", bigEndian(0, width, height)));
  const owned = items.map(({ type }, index) => {
    const isCoded = type === "av01";
    const properties = isCoded ? [index + 2, 1 + 0x8000] : [index + 2];
    return concat(shorts(index + 1), Uint8Array.of(properties.length), shorts(...properties));
  });
  return box(
    "meta",
    bigEndian(0),
    box("hdlr", bigEndian(0, 0), ascii("pict"), new Uint8Array(13)),
    box("pitm", bigEndian(0), shorts(1)),
    box("iloc", bigEndian(0x01000000), shorts(0x4400, items.length), ...places),
    box("iinf", bigEndian(0), shorts(items.length), ...infos),
    box("iref", bigEndian(0), ...references),
    box(
      "iprp",
      box("ipco", configuration, ...sizes),
      // Its lowest flag says that properties are named by 16 bits.
      box("ipma", bigEndian(1, items.length), ...owned),
    ),
  );
}

function box(type: string, ...parts: readonly Uint8Array[]): Bytes {
  const body = concat(...parts);
  return concat(bigEndian(body.length + 8), ascii(type), body);
}

/** Numbers as uint16, the highest byte first. */
function shorts(...numbers: readonly number[]): Bytes {
  return Uint8Array.from(numbers.flatMap((number) => [(number >> 8) & 255, number & 255]));
}

/** @throws Error where there is no such box. */
function boxOf(avif: Uint8Array, type: string): Uint8Array {
  const found = describeAvif(avif).pieces.find(
    ({ start }) => String.fromCharCode(...avif.subarray(start + 4, start + 8)) === type,
  );
  if (found === undefined) throw new Error(`the AVIF has no ${type}`);
  return avif.subarray(found.start, found.end);
}

function bodyOf(avif: Uint8Array, type: string): Uint8Array {
  return boxOf(avif, type).subarray(8);
}
