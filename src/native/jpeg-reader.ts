import { dlopen } from "bun:ffi";
import { cString } from "./c-string.ts";
import { openLibc } from "./libc.ts";
import { stripRows } from "./strip-height.ts";

/** `VIPS_ACCESS_SEQUENTIAL`: rows come from the top down, and none is kept. */
const SEQUENTIAL = 1;
/** `VIPS_FAIL_ON_ERROR`: what is cut short or corrupt is refused; sharp's `failOn: "error"`. */
const FAIL_ON_ERROR = 2;
/** `VIPS_INTERPRETATION_sRGB` and `VIPS_FORMAT_UCHAR`. */
const SRGB = 22;
const UCHAR = 0;

/** What is read: bytes, or the path of a file. */
export type JpegSource = Uint8Array | string;

/** What the header of a plain JPEG says: three channels of 8 bits, and one scan. */
export interface JpegHeader {
  /** Pixels as stored. */
  readonly width: number;
  readonly height: number;
  /** EXIF's, 1 to 8; 1 where there is none that counts. */
  readonly orientation: number;
}

/**
 * Takes the next rows.
 *
 * @param rgb uint8, [rows, width, 3], in the buffer that was given for them.
 */
export type TakeRows = (top: number, rows: number, rgb: Uint8Array) => void;

/** Reads plain JPEGs, all of it in the thread that calls. Nothing stays open between two calls. */
export interface JpegReader {
  /** @returns undefined where it is no plain JPEG, or none that can be read: sharp then says what it is. */
  readHeader(source: JpegSource): JpegHeader | undefined;
  /**
   * Decodes all rows, from the top down.
   *
   * @param into where they are written: uint8, [height, width, 3], or less, at least a row, where the next rows may
   *   overwrite those that were taken.
   * @param take what it throws ends the reading, and is thrown.
   * @returns what is wrong with an image that is cut short or corrupt, in libvips's words; undefined when all is read.
   * @throws RangeError where `into` has no room for a row.
   */
  readRows(
    source: JpegSource,
    header: JpegHeader,
    into: Uint8Array,
    take: TakeRows,
  ): string | undefined;
}

/**
 * Opens the libvips that sharp has loaded, to have it decode in the thread that asks. sharp itself hands every image
 * to a thread of Bun's pool, and libvips each strip to one of its own, which together cost as much again as a small
 * photo's decoding (BENCHMARKS.md, by thread). It is the same decoder with the same settings, so the pixels are
 * the same, and so is what it refuses.
 *
 * @param soname of the loaded libvips.
 * @returns undefined where there is no such library, or it lacks a function: sharp then reads everything.
 * @see libvips 8.18 `libvips/iofuncs/region.c` (`vips_region_prepare_to`): computes a part of an image in the calling
 *   thread.
 */
export function openJpegReader(soname: string): JpegReader | undefined {
  try {
    const vips = openLibrary(soname);
    dropWarnings(soname, vips);
    return createReader(vips);
  } catch {
    return undefined;
  }
}

type Libvips = ReturnType<typeof openLibrary>;

/** Images are addresses here, since that is how `vips_jpegload` gives them. The variadic functions end with null. */
function openLibrary(soname: string) {
  const { symbols } = dlopen(soname, {
    vips_jpegload_buffer: {
      args: ["ptr", "u64", "ptr", "cstring", "i32", "cstring", "i32", "ptr"],
      returns: "i32",
    },
    vips_jpegload: {
      args: ["cstring", "ptr", "cstring", "i32", "cstring", "i32", "ptr"],
      returns: "i32",
    },
    vips_image_new_from_memory: {
      args: ["ptr", "u64", "i32", "i32", "i32", "i32"],
      returns: "u64",
    },
    vips_image_get_width: { args: ["u64"], returns: "i32" },
    vips_image_get_height: { args: ["u64"], returns: "i32" },
    vips_image_get_bands: { args: ["u64"], returns: "i32" },
    vips_image_get_format: { args: ["u64"], returns: "i32" },
    vips_image_get_interpretation: { args: ["u64"], returns: "i32" },
    vips_image_get_orientation: { args: ["u64"], returns: "i32" },
    vips_image_get_typeof: { args: ["u64", "cstring"], returns: "u64" },
    vips_region_new: { args: ["u64"], returns: "u64" },
    vips_region_image: { args: ["u64", "ptr"], returns: "i32" },
    vips_region_prepare_to: { args: ["u64", "u64", "ptr", "i32", "i32"], returns: "i32" },
    vips_error_buffer: { args: [], returns: "cstring" },
    vips_error_clear: { args: [], returns: "void" },
    g_log_set_handler: { args: ["cstring", "i32", "ptr", "ptr"], returns: "u32" },
    g_object_unref: { args: ["u64"], returns: "void" },
  });
  return symbols;
}

/** `G_LOG_LEVEL_WARNING`. */
const WARNING = 16;

/**
 * Has libvips's warnings, such as of bytes that do not belong to a JPEG, go nowhere. sharp keeps them in a queue without
 * end until it is next asked for something, for a debugging log that nobody has switched on; where all images are read
 * here, that would be never. The last handler counts, and what is called may be called by any thread, so it is a
 * function of libvips's own that does nothing.
 */
function dropWarnings(soname: string, vips: Libvips): void {
  using libc = openLibc();
  const nothing = libc.addressIn(soname, "vips_version_string");
  if (nothing === undefined) throw new Error("libvips has no such function");
  vips.g_log_set_handler(cString("VIPS"), WARNING, nothing, null);
}

/**
 * The same bytes at an address that stays. JavaScriptCore keeps those of short arrays among its own objects, until
 * somebody asks for their buffer: then they move.
 */
function atFixedAddress({ buffer, byteOffset, length }: Uint8Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, length);
}

function createReader(vips: Libvips): JpegReader {
  const access = cString("access");
  const failOn = cString("fail_on");
  // libvips gives it to a JPEG of several scans.
  const interlaced = cString("interlaced");
  const opened = new BigUint64Array(1);
  /** `VipsRect`: left, top, width, height. */
  const area = new Int32Array(4);

  /** Other threads' words may stand between its own: they are for the log. */
  function fault(): string {
    return String(vips.vips_error_buffer()).trim() || "libvips gave no reason";
  }

  /** What is given back at the end of a block, its words too. @param at nothing is there, where it is 0. */
  function own(at: bigint): Disposable & { readonly at: bigint } {
    const dispose = () => {
      if (at !== 0n) vips.g_object_unref(at);
      // Also of what was read in spite of them.
      vips.vips_error_clear();
    };
    return { at, [Symbol.dispose]: dispose };
  }

  const regionOf = (image: bigint) => own(image === 0n ? 0n : vips.vips_region_new(image));

  function open(source: JpegSource) {
    const terms = [access, SEQUENTIAL, failOn, FAIL_ON_ERROR, null] as const;
    opened[0] = 0n;
    if (typeof source === "string") vips.vips_jpegload(cString(source), opened, ...terms);
    else vips.vips_jpegload_buffer(atFixedAddress(source), source.length, opened, ...terms);
    return own(opened[0]);
  }

  function headerOf(image: bigint): JpegHeader | undefined {
    const isPlain =
      vips.vips_image_get_bands(image) === 3 &&
      vips.vips_image_get_format(image) === UCHAR &&
      vips.vips_image_get_interpretation(image) === SRGB &&
      vips.vips_image_get_typeof(image, interlaced) === 0n;
    if (!isPlain) return undefined;
    return {
      width: vips.vips_image_get_width(image),
      height: vips.vips_image_get_height(image),
      orientation: vips.vips_image_get_orientation(image),
    };
  }

  return {
    readHeader: (source) => {
      using image = open(source);
      return image.at === 0n ? undefined : headerOf(image.at);
    },
    readRows: (source, header, target, take) => {
      const { width, height } = header;
      const into = atFixedAddress(target);
      const { step, held } = divideRows(header, into.length);
      using image = open(source);
      if (image.at === 0n) return fault();
      const found = headerOf(image.at);
      // A file may be another one by now, whose rows would not fit.
      if (found?.width !== width || found.height !== height) return "the header has changed";
      const rowBytes = width * 3;
      const shape = [width, held, 3, UCHAR] as const;
      using memory = own(vips.vips_image_new_from_memory(into, held * rowBytes, ...shape));
      using region = regionOf(image.at);
      using intoRegion = regionOf(memory.at);
      if (![region, intoRegion].every(isThere)) return fault();
      for (let top = 0; top < height; top += step) {
        const rows = Math.min(step, height - top);
        const at = top % held;
        area.set([0, at, width, rows]);
        if (vips.vips_region_image(intoRegion.at, area) !== 0) return fault();
        area.set([0, top, width, rows]);
        const status = vips.vips_region_prepare_to(region.at, intoRegion.at, area, 0, at);
        if (status !== 0) return fault();
        take(top, rows, into.subarray(at * rowBytes, (at + rows) * rowBytes));
      }
      return undefined;
    },
  };
}

const isThere = ({ at }: { readonly at: bigint }): boolean => at !== 0n;

/** How many rows are read at a time, and how many stay. @throws RangeError where there is no room for one. */
function divideRows({ width, height }: JpegHeader, roomBytes: number) {
  const room = Math.floor(roomBytes / (width * 3));
  if (room < 1) throw new RangeError(`no room for a row of ${width} pixels`);
  const step = Math.min(stripRows, height, room);
  return { step, held: room < height ? step : height };
}
