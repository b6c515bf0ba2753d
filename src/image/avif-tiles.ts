/** A box of an ISO media file: its type, and where its body begins and ends. */
interface Box {
  readonly type: string;
  readonly start: number;
  readonly end: number;
}

/** What a file says of its images, by their numbers. */
interface Items {
  /** Of which others each is made. */
  readonly parts: Map<number, readonly number[]>;
  /** Pixels of each. */
  readonly areas: Map<number, number>;
}

/**
 * Counts the pixels that are decoded for an AVIF that is made of tiles. A tile may be named again and again,
 * is decoded as often, and may be as large as the whole: so a file of one kilobyte can take minutes.
 *
 * @returns pixels of the parts of all images that have any, each time that they are named; 0 where none has.
 * @see ISO 23008-12, sections 6.5.3 (`ispe`), 6.6.2 (`grid`) and 9.3 (`ipma`); ISO 14496-12, section 8.11.12 (`iref`).
 */
export function countTilePixels(avif: Uint8Array): number {
  const view = new DataView(avif.buffer, avif.byteOffset, avif.byteLength);
  const whole = { type: "", start: 0, end: avif.length };
  const items: Items = { parts: new Map(), areas: new Map() };
  for (const meta of boxesIn(view, whole, 0, "meta")) {
    for (const iref of boxesIn(view, meta, 4, "iref")) readParts(view, iref, items.parts);
    for (const iprp of boxesIn(view, meta, 4, "iprp")) readAreas(view, iprp, items.areas);
  }
  const costs = new Map<number, number>();
  return [...items.parts.keys()].reduce((sum, item) => sum + costOf(item, items, costs), 0);
}

/** Boxes that hold others, and bytes of their bodies before these. */
const containers: Readonly<Record<string, number>> = {
  meta: 4,
  iprp: 0,
  ipco: 0,
  iref: 4,
  iinf: 6,
  dinf: 0,
  dref: 8,
  grpl: 0,
  moov: 0,
  trak: 0,
  mdia: 0,
  minf: 0,
  stbl: 0,
};

/**
 * Counts a file's boxes, also those in others.
 *
 * @param most ends the count: the result is then one more.
 */
export function countBoxes(avif: Uint8Array, most: number): number {
  const view = new DataView(avif.buffer, avif.byteOffset, avif.byteLength);
  const open: Box[] = [{ type: "", start: 0, end: avif.length }];
  let count = 0;
  for (let outer = open.pop(); outer !== undefined; outer = open.pop()) {
    for (const box of walkBoxes(view, outer, containers[outer.type] ?? 0)) {
      count += 1;
      if (count > most) return count;
      if (box.type in containers) open.push(box);
    }
  }
  return count;
}

/** Pixels that are decoded for an image; `costs` keeps what is known, and ends what would go in circles. */
function costOf(item: number, items: Items, costs: Map<number, number>): number {
  const known = costs.get(item);
  if (known !== undefined) return known;
  costs.set(item, 0);
  const cost =
    items.parts.get(item)?.reduce((sum, part) => sum + costOf(part, items, costs), 0) ??
    items.areas.get(item) ??
    0;
  costs.set(item, cost);
  return cost;
}

/** Reads which images are derived from which, out of an `iref`. */
function readParts(view: DataView, iref: Box, parts: Items["parts"]): void {
  const idBytes = numberAt(view, iref, 0, 1) === 0 ? 2 : 4;
  for (const reference of boxesIn(view, iref, 4, "dimg")) {
    const from = numberAt(view, reference, 0, idBytes);
    const count = numberAt(view, reference, idBytes, 2);
    const to = Array.from({ length: count }, (_, index) =>
      numberAt(view, reference, idBytes + 2 + index * idBytes, idBytes),
    );
    parts.set(from, [...(parts.get(from) ?? []), ...to]);
  }
}

/** Reads how large every image is said to be, out of an `iprp`: the largest size where it has several. */
function readAreas(view: DataView, iprp: Box, areas: Items["areas"]): void {
  const sizes = boxesIn(view, iprp, 0, "ipco").flatMap((ipco) =>
    boxesIn(view, ipco, 0).map((property) =>
      property.type === "ispe"
        ? numberAt(view, property, 4, 4) * numberAt(view, property, 8, 4)
        : 0,
    ),
  );
  for (const ipma of boxesIn(view, iprp, 0, "ipma")) {
    const idBytes = numberAt(view, ipma, 0, 1) === 0 ? 2 : 4;
    const indexBytes = (numberAt(view, ipma, 3, 1) & 1) === 0 ? 1 : 2;
    let at = 8;
    for (let left = numberAt(view, ipma, 4, 4); left > 0 && ipma.start + at < ipma.end; left--) {
      const item = numberAt(view, ipma, at, idBytes);
      const count = numberAt(view, ipma, at + idBytes, 1);
      at += idBytes + 1;
      for (let index = 0; index < count; index++, at += indexBytes) {
        // The highest bit says that the property is essential.
        const property = numberAt(view, ipma, at, indexBytes) & (2 ** (8 * indexBytes - 1) - 1);
        areas.set(item, Math.max(areas.get(item) ?? 0, sizes[property - 1] ?? 0));
      }
    }
  }
}

/** The boxes that lie in another after its first bytes; those of one type only, where one is named. */
function boxesIn(view: DataView, outer: Box, skipped: number, type?: string): Box[] {
  return [...walkBoxes(view, outer, skipped)].filter(
    (box) => type === undefined || box.type === type,
  );
}

function* walkBoxes(view: DataView, outer: Box, skipped: number): Generator<Box> {
  for (let at = outer.start + skipped; at + 8 <= outer.end; ) {
    const body = { type: "", start: at, end: outer.end };
    let size = numberAt(view, body, 0, 4);
    const name = numberAt(view, body, 4, 4);
    let start = at + 8;
    if (size === 1) {
      size = numberAt(view, body, 8, 4) * 2 ** 32 + numberAt(view, body, 12, 4);
      start += 8;
    }
    const end = size === 0 ? outer.end : Math.min(outer.end, at + size);
    yield { type: typeName(name), start, end };
    if (end < start) break;
    at = end;
  }
}

/** A number of 1, 2 or 4 bytes, the highest first; 0 where the box is over. */
function numberAt(view: DataView, { start, end }: Box, offset: number, bytes: number): number {
  const at = start + offset;
  if (at + bytes > end) return 0;
  if (bytes === 4) return view.getUint32(at);
  return bytes === 2 ? view.getUint16(at) : view.getUint8(at);
}

function typeName(code: number): string {
  return String.fromCharCode(code >>> 24, (code >> 16) & 255, (code >> 8) & 255, code & 255);
}
