/**
 * Turns ink into light as Pillow does it, without a colour profile. The light replaces the ink, so that
 * a large image needs no more memory.
 *
 * @param cmyk uint8, [pixels, channels], interleaved: 255 is full ink.
 * @param channels samples of a pixel, at least 4; what follows the first four is dropped.
 * @returns uint8, [pixels, 3], the beginning of `cmyk`.
 * @see Pillow 9.4 `src/libImaging/Convert.c` (`cmyk2rgb`) and `ImagingUtils.h` (`MULDIV255`).
 */
export function cmykToRgb(cmyk: Uint8Array, channels: number): Uint8Array {
  let target = 0;
  for (let source = 0; source < cmyk.length; source += channels) {
    const light = 255 - (cmyk[source + 3] ?? 0);
    for (let ink = 0; ink < 3; ink++) {
      const product = (cmyk[source + ink] ?? 0) * light + 128;
      cmyk[target++] = light - (((product >> 8) + product) >> 8);
    }
  }
  return cmyk.subarray(0, target);
}
