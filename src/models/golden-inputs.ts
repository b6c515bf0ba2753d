/** What a CLIP model must be fed for certain pictures and texts, as the reference prepares them. */

/** A file that anybody can get, and know again. */
export interface GoldenPicture {
  readonly name: string;
  /** At a fixed commit. */
  readonly url: string;
  readonly bytes: number;
  /** Lower-case hex. */
  readonly sha256: string;
  /** Of its pixel values: float32, little-endian, [3, 224, 224]. */
  readonly pixelValuesSha256: string;
}

/** Pixels of a side of the input for which the digests hold. */
export const goldenSide = 224;

const sentenceTransformers =
  "https://raw.githubusercontent.com/UKPLab/sentence-transformers/85ec64559f4414aa536eca4bf53538291e0a333f/examples/sentence_transformer/applications/image-search";

/** Real pictures. transformers 4.57 with Pillow 13 gives these values, and Pillow 9.4 gave the same. */
export const goldenPictures: readonly GoldenPicture[] = [
  {
    name: "two_dogs_in_snow.jpg",
    url: `${sentenceTransformers}/two_dogs_in_snow.jpg`,
    bytes: 78_108,
    sha256: "a7b8ccddc7bdebce79616b3a732ebcbd9793b5bc532ff77621bf3d62517e5c59",
    pixelValuesSha256: "434f3002d2334e44c7d1c865f4aee2e57d061d8e546c367f1a4466f27c5a9a6c",
  },
  {
    name: "cat.jpg",
    url: `${sentenceTransformers}/cat.jpg`,
    bytes: 39_677,
    sha256: "1af2ddfecdd6c7ac90e3947ad0500122bf2508a213eed414c84fd02873dfdfec",
    pixelValuesSha256: "9e97ac3720e34012524767b2fb57c39bd65cc4ad29e407e468ec5fde1220a76c",
  },
  {
    name: "eiffel-tower-day.jpg",
    url: `${sentenceTransformers}/eiffel-tower-day.jpg`,
    bytes: 97_131,
    sha256: "90e4fa2194d8e08cba77e2b4b0717d9322cd5e50026439c7038ca1ee1191dd63",
    pixelValuesSha256: "f98b3e14a4a1322727041bb98d7472f49e53d4d946576ce9da31d6673f31ba64",
  },
  {
    name: "000000039769.jpg",
    url: "https://raw.githubusercontent.com/qdrant/fastembed/c48247f15df70acdf19f05dc08380fb37ee3661b/tests/misc/image.jpeg",
    bytes: 173_131,
    sha256: "dea9e7ef97386345f7cff32f9055da4982da5471c48d575146c796ab4563b04e",
    pixelValuesSha256: "4378fd13aa41609ebcc4403be60253f45095a0a942fb9b7b117b5a7a90e6cb19",
  },
  {
    name: "CLIP.png",
    url: "https://raw.githubusercontent.com/openai/CLIP/d05afc436d78f1c48dc0dbf8e5980a9d471f35f6/CLIP.png",
    bytes: 252_444,
    sha256: "308a3ca4503f1c7a07803916c369d78c4ef501e5ab7fc727da9b5e1d2f9ec85b",
    pixelValuesSha256: "2dc4c3c6d1dff99da00299d78afce19392534223088d4cc025bc77f043669404",
  },
];

/** Pictures that every host computes for itself: one is made smaller, one larger. */
export const goldenPatterns = [
  {
    name: "pattern 640x480",
    width: 640,
    height: 480,
    pixelValuesSha256: "d797f2e8a9cb6ab4bff14c6ee979d3056810872aca490a10531f6adb5c4f5179",
  },
  {
    name: "pattern 96x130",
    width: 96,
    height: 130,
    pixelValuesSha256: "6bed5d01eb24a1aa002aeab0deed5ccdb2428deca8e118d42666234b68f564fc",
  },
] as const;

/** Texts that trip tokenizers up, with the ids that transformers gives. */
export const goldenTokens: readonly { readonly text: string; readonly ids: readonly number[] }[] = [
  { text: "hello world", ids: [49406, 3306, 1002, 49407] },
  { text: "café naïve résumé", ids: [49406, 15304, 1097, 35689, 563, 29106, 7054, 4166, 49407] },
  {
    text: "it's John's dog, they're we've I'm I'll he'd can't",
    ids: [
      49406, 585, 568, 1742, 568, 1929, 267, 889, 982, 649, 1200, 328, 880, 328, 1342, 797, 1896,
      753, 713, 49407,
    ],
  },
  {
    text: "日本語のテキスト",
    ids: [49406, 39121, 44353, 34002, 252, 21575, 2429, 228, 47121, 32421, 486, 49407],
  },
  {
    text: "½ ² Ⅷ ١٢٣",
    ids: [49406, 33613, 41175, 158, 227, 371, 149, 350, 149, 351, 149, 352, 49407],
  },
  {
    text: "ΑΣ ΟΔΟΣ sigma final",
    ids: [49406, 138, 109, 139, 481, 138, 123, 138, 112, 138, 123, 139, 481, 15697, 1755, 49407],
  },
];
