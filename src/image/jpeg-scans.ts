/** What decides how much memory and time a JPEG of several scans takes. */
export interface JpegScans {
  /** DCT coefficients that are kept between scans, for each pixel: 1.5 for 4:2:0, 3 for 4:4:4. */
  readonly coefficientsPerPixel: number;
  readonly scans: number;
}

/** Markers (ITU-T T.81, table B.1). */
const endOfImage = 0xd9;
const startOfScan = 0xda;
/** DHT, JPG and DAC stand among the frame headers' numbers. */
const notFrames: ReadonlySet<number> = new Set([0xc4, 0xc8, 0xcc]);
/** Stuffed zero and fill byte, TEM, RST0 to RST7 and SOI: nothing follows that is counted by a length. */
const alone: ReadonlySet<number> = new Set([
  ...[0x00, 0xff, 0x01, 0xd0, 0xd1, 0xd2, 0xd3, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8],
]);

/**
 * Reads a JPEG's frame header and counts its scans, finding markers as libjpeg does: whatever stands
 * before the next one is passed over.
 *
 * @returns zeros where there is no frame header.
 * @see ITU-T T.81 annex B.2.2 and B.2.3; libjpeg `jdmarker.c` (`next_marker`).
 */
export function readJpegScans(bytes: Uint8Array): JpegScans {
  let coefficientsPerPixel = 0;
  let scans = 0;
  let at = bytes.indexOf(0xff);
  while (at !== -1 && at + 1 < bytes.length) {
    const marker = bytes[at + 1] ?? 0;
    if (marker === endOfImage) break;
    if (alone.has(marker)) {
      // A fill byte may itself be the marker's first.
      at = bytes.indexOf(0xff, marker === 0xff ? at + 1 : at + 2);
      continue;
    }
    if (marker === startOfScan) scans += 1;
    if (marker >= 0xc0 && marker <= 0xcf && !notFrames.has(marker)) {
      coefficientsPerPixel = coefficientsOf(bytes.subarray(at + 4));
    }
    at = bytes.indexOf(0xff, at + 2 + Math.max(2, uint16(bytes, at + 2)));
  }
  return { coefficientsPerPixel, scans };
}

/** @param frame a frame header from its sample precision on. */
function coefficientsOf(frame: Uint8Array): number {
  const areas: number[] = [];
  let [across, down] = [1, 1];
  for (let component = 0; component < (frame[5] ?? 0); component++) {
    const factors = frame[7 + component * 3] ?? 0x11;
    const [horizontal, vertical] = [factors >> 4, factors & 15];
    areas.push(horizontal * vertical);
    [across, down] = [Math.max(across, horizontal), Math.max(down, vertical)];
  }
  return areas.reduce((sum, area) => sum + area, 0) / (across * down);
}

function uint16(bytes: Uint8Array, at: number): number {
  return ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
}
