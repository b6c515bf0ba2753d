import { describe, expect, test } from "bun:test";
import { type PixelHeader, planDecode } from "../../src/image/decode-plan.ts";
import type { ImageFormat } from "../../src/image/signature.ts";
import { limits } from "../../src/limits.ts";

const plain: PixelHeader = {
  width: 10_000,
  height: 10_000,
  channels: 3,
  bytesPerSample: 1,
  isCmyk: false,
  isInterlaced: false,
  coefficientsPerPixel: 0,
};
const maxPixels = 100_000_000;

/** Strips of 100 megapixels, or how many megapixels would be read. */
function plan(format: ImageFormat, header: Partial<PixelHeader> = {}, most = maxPixels) {
  const planned = planDecode(format, { ...plain, ...header }, most);
  return "strips" in planned
    ? `${planned.strips} strips`
    : `${Math.floor(planned.maxPixels / 1e6)} MP`;
}

describe("100 megapixels of", () => {
  test.each<[string, ImageFormat, Partial<PixelHeader>, string]>([
    ["JPEG are read whole", "jpg", {}, "1 strips"],
    ["CMYK are read whole", "jpg", { isCmyk: true, channels: 4 }, "1 strips"],
    ["PNG are read whole", "png", { channels: 4, bytesPerSample: 2 }, "1 strips"],
    ["interlaced PNG are read in strips", "png", { isInterlaced: true }, "2 strips"],
    ["GIF are read in strips", "gif", { channels: 4 }, "6 strips"],
    ["TIFF are read in strips", "tif", {}, "2 strips"],
    ["TIFF of 16 bits are too many", "tif", { bytesPerSample: 2 }, "56 MP"],
    ["TIFF of 16 bits with alpha are too many", "tif", { bytesPerSample: 2, channels: 4 }, "45 MP"],
    [
      "progressive JPEG 4:2:0 are read in strips",
      "jpg",
      { isInterlaced: true, coefficientsPerPixel: 1.5 },
      "2 strips",
    ],
    [
      "progressive JPEG 4:4:4 are too many",
      "jpg",
      { isInterlaced: true, coefficientsPerPixel: 3 },
      "69 MP",
    ],
    ["WebP are too many", "webp", {}, "56 MP"],
    ["AVIF are too many", "avif", {}, "25 MP"],
    ["AVIF of 10 or 12 bits are too many", "avif", { bytesPerSample: 2 }, "19 MP"],
  ])("%s", (_, format, header, planned) => {
    expect(plan(format, header)).toBe(planned);
  });
});

describe("65535×1500 pixels, whose rows take memory too, of", () => {
  const deep = { channels: 4, bytesPerSample: 2 };
  test.each<[string, ImageFormat, Partial<PixelHeader>, string]>([
    ["JPEG are read whole", "jpg", {}, "1 strips"],
    ["CMYK are read in strips", "jpg", { isCmyk: true, channels: 4 }, "2 strips"],
    ["PNG are read whole", "png", {}, "1 strips"],
    ["PNG of 16 bits with alpha are read in strips", "png", deep, "2 strips"],
    ["TIFF are read in strips", "tif", {}, "4 strips"],
    ["TIFF of 16 bits with alpha are too many", "tif", deep, "23 MP"],
    ["GIF are too many", "gif", { channels: 4 }, "74 MP"],
  ])("%s", (_, format, header, planned) => {
    expect(plan(format, { width: 65_535, height: 1_500, ...header })).toBe(planned);
    // Nothing is wide about it when it is on its side.
    const tall = planDecode(
      format,
      { ...plain, ...header, width: 1_500, height: 65_535 },
      maxPixels,
    );
    const wide = planDecode(
      format,
      { ...plain, ...header, width: 65_535, height: 1_500 },
      maxPixels,
    );
    if ("strips" in tall && "strips" in wide) expect(tall.strips).toBeLessThanOrEqual(wide.strips);
  });
});

test("ordinary pictures of every kind are read whole", () => {
  for (const format of ["jpg", "png", "webp", "gif", "avif", "tif"] as const) {
    const header = { width: 4000, height: 3000, isInterlaced: true, coefficientsPerPixel: 3 };
    expect(plan(format, header)).toBe("1 strips");
  }
});

test("a lower limit of pixels refuses nothing that has fewer, and a higher one allows more of each kind", () => {
  const size = { width: 4000, height: 3000 };
  expect(plan("avif", size, 12_000_000)).toBe("1 strips");
  expect(plan("avif", {}, 400_000_000)).toBe("6 strips");
  expect(plan("webp", { width: 15_000 }, 400_000_000)).toBe("6 strips");
});

test("a batch of images that all take too long ends before its worker counts as hanging", () => {
  expect(limits.maxBatch * limits.decodeTimeoutMs).toBeLessThan(limits.hangTimeoutMs);
});
