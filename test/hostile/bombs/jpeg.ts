import { type Bytes, jpegSegment, makeJpeg } from "../../support/pictures.ts";
import type { HostileFile } from "../corpus.ts";
import { describeJpeg } from "../layouts/jpeg.ts";
import { encodeBlank, manyTimes, repeated, repeatedPiece } from "./pieces.ts";

const small = { width: 16, height: 12 };

/** JPEGs that claim much, or say the same again and again. */
export async function jpegBombs(): Promise<HostileFile[]> {
  const jpeg = await makeJpeg(small);
  const progressive = await makeJpeg({ ...small, progressive: true });
  const wide = await encodeBlank(8_000, 6_000, (picture) => picture.jpeg({ progressive: true }));
  const scans = describeJpeg(wide).pieces.filter(({ start }) => wide[start + 1] === 0xda);
  const comment = jpegSegment(0xfe, new Uint8Array(10));
  return [
    { name: "a JPEG whose header claims 30000×30000", bytes: withJpegSize(jpeg, 30_000, 30_000) },
    { name: "a JPEG whose header claims 65535×1500", bytes: withJpegSize(jpeg, 65_535, 1_500) },
    {
      name: "a progressive JPEG whose header claims 9000×9000",
      bytes: withJpegSize(progressive, 9_000, 9_000),
    },
    { name: "a JPEG of 0×0", bytes: withJpegSize(jpeg, 0, 0) },
    { name: "a JPEG with thousands of comments", bytes: repeated(jpeg, 2, comment) },
    {
      name: "a JPEG whose last scan comes thousands of times",
      bytes: repeatedPiece(wide, scans.at(-1), manyTimes),
    },
    { name: "a JPEG of start markers", bytes: repeated(jpeg, 0, jpeg.subarray(0, 2)) },
    {
      name: "a JPEG of tables alone",
      bytes: repeatedPiece(jpeg, describeJpeg(jpeg).pieces[1], manyTimes),
    },
  ];
}

function withJpegSize(jpeg: Bytes, width: number, height: number): Bytes {
  const bytes = jpeg.slice();
  const frame = describeJpeg(jpeg).pieces.find(({ start }) =>
    [0xc0, 0xc1, 0xc2].includes(jpeg[start + 1] ?? 0),
  );
  if (frame === undefined) throw new Error("the JPEG has no frame");
  new DataView(bytes.buffer).setUint32(frame.start + 5, height * 65_536 + width);
  return bytes;
}
