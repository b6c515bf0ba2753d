/** The multipart parser: whatever the network does to a form, it means the same or is refused. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { Problem } from "../../src/errors.ts";
import { receiveForm, type StoredPart } from "../../src/sources/upload.ts";
import { createDownloads, type Spool } from "../../src/store/downloads.ts";
import { ascii, concat } from "../support/pictures.ts";

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "imagesvc-form-"));
});
afterAll(() => rm(directory, { recursive: true }));

interface Received {
  readonly fields: Readonly<Record<string, string>>;
  readonly file?: { readonly name: string; readonly bytes: Uint8Array };
}

/** Reads a form from chunks, in both ways; small files stay in memory, larger ones go to disk. */
async function receive(chunks: readonly Uint8Array[], maxFileBytes = 2 ** 20): Promise<Received> {
  const streamed = await outcomeOf(receiveAs(chunks, maxFileBytes, undefined));
  const contentLength = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
  const known = await outcomeOf(receiveAs(chunks, maxFileBytes, contentLength));
  // A body that tells its length is read another way, and means the same.
  expect(known).toEqual(streamed);
  if ("failed" in streamed) throw streamed.failed;
  return streamed;
}

async function outcomeOf(receiving: Promise<Received>): Promise<Received | { failed: unknown }> {
  return await receiving.catch((failed: unknown) => ({ failed }));
}

async function receiveAs(
  chunks: readonly Uint8Array[],
  maxFileBytes: number,
  contentLength: number | undefined,
): Promise<Received> {
  const downloads = createDownloads({ directory, minFreeBytes: 0 });
  const spools: Spool[] = [];
  try {
    const form = await receiveForm({
      openBody: async function* () {
        for (const chunk of chunks) {
          await Promise.resolve();
          yield chunk;
        }
      },
      contentType: "multipart/form-data; boundary=xyz",
      contentLength,
      fileField: "file",
      maxFileBytes,
      openSpool: async () => {
        const spool = await downloads.openSpool();
        spools.push(spool);
        return spool;
      },
      signal: new AbortController().signal,
    });
    const { file, ...fields } = form;
    if (file === undefined) return { fields: textsOf(fields) };
    if (typeof file === "string") return { fields: textsOf(form) };
    return {
      fields: textsOf(fields),
      file: { name: file.originalFilename, bytes: await bytesOf(file) },
    };
  } finally {
    for (const spool of spools) await spool.discard();
  }
}

function textsOf(fields: Readonly<Record<string, string | StoredPart>>) {
  return Object.fromEntries(
    Object.entries(fields).map(([name, value]) => {
      if (typeof value !== "string") throw new TypeError("a second file was stored");
      return [name, value];
    }),
  );
}

async function bytesOf({ image, sizeBytes }: StoredPart): Promise<Uint8Array> {
  const bytes = image.kind === "memory" ? image.bytes : new Uint8Array(await readFile(image.path));
  expect(bytes.length).toBe(sizeBytes);
  return bytes;
}

function formOf(title: string, name: string, bytes: Uint8Array): Uint8Array {
  return concat(
    new TextEncoder().encode(
      `--xyz\r\nContent-Disposition: form-data; name="title"\r\n\r\n${title}\r\n` +
        `--xyz\r\nContent-Disposition: form-data; name="file"; filename="${name}"\r\n` +
        "Content-Type: image/jpeg\r\n\r\n",
    ),
    bytes,
    ascii("\r\n--xyz--\r\n"),
  );
}

/** Cuts bytes at the given places. */
function cut(bytes: Uint8Array, places: readonly number[]): readonly Uint8Array[] {
  const sorted = [...new Set(places.map((place) => place % bytes.length))].sort((a, b) => a - b);
  return [0, ...sorted].map((start, index) => bytes.subarray(start, sorted[index] ?? bytes.length));
}

const plainText = fc.string({ maxLength: 40 }).map((text) => text.replace(/[^ -~]|["\\]/g, "x"));
/** Bytes, among them some that look like a boundary's beginning. */
const fileBytes = fc
  .array(
    fc.oneof(
      fc.uint8Array({ maxLength: 300 }),
      fc.constantFrom(...["\r\n", "--", "\r\n--xy", "--xy", "\r\n\r\n--"].map(ascii)),
    ),
    { maxLength: 8 },
  )
  .map((parts) => concat(...parts))
  // A client chooses a boundary that its file does not contain.
  .filter((bytes) => !Buffer.from(bytes).includes("--xyz"));
const places = fc.array(fc.nat(), { maxLength: 30 });

test("a form means the same, however the network cuts it", async () => {
  await fc.assert(
    fc.asyncProperty(plainText, plainText, fileBytes, places, async (title, name, bytes, cuts) => {
      const chunks = cut(formOf(title, name, bytes), cuts);
      const received = await receive(chunks);
      expect(received.fields).toEqual({ title });
      expect(received.file?.name).toBe(name);
      expect(Buffer.compare(received.file?.bytes ?? new Uint8Array(1), bytes)).toBe(0);
    }),
    { numRuns: 200 },
  );
});

test("byte by byte it means the same too", async () => {
  const bytes = ascii("\r\n--xy\r\n--xz--\r\n");
  const form = formOf("a title", "a.jpg", bytes);
  const received = await receive(Array.from(form, (byte) => Uint8Array.of(byte)));
  expect(received).toEqual({ fields: { title: "a title" }, file: { name: "a.jpg", bytes } });
});

test("a file that outgrows memory is the same on disk", async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 200_000, max: 600_000 }), places, async (size, cuts) => {
      const bytes = new Uint8Array(size).map((_, index) => (index * 7919) >> 3);
      const received = await receive(cut(formOf("t", "n", bytes), cuts));
      expect(Buffer.compare(received.file?.bytes ?? new Uint8Array(1), bytes)).toBe(0);
    }),
    { numRuns: 20 },
  );
});

test("a form that is cut short anywhere is malformed, and leaves no file", async () => {
  const form = formOf("a title", "a.jpg", new Uint8Array(300_000).fill(65));
  await fc.assert(
    fc.asyncProperty(fc.nat({ max: form.length - 1 }), places, async (length, cuts) => {
      // The line break after the last boundary says nothing any more.
      const whole = length >= form.length - 2;
      const received = receive(cut(form.subarray(0, length), cuts)).catch(
        (error: unknown) => error,
      );
      const outcome = await received;
      if (whole) expect(outcome).toHaveProperty("file");
      else expect(outcome).toMatchObject({ code: "malformed-body" });
    }),
    { numRuns: 100 },
  );
  expect(await readdir(directory)).toEqual([]);
});

test("a file over the limit is refused, wherever the network cuts", async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1001, max: 3000 }), places, async (size, cuts) => {
      const chunks = cut(formOf("t", "n", new Uint8Array(size)), cuts);
      const outcome = await receive(chunks, 1000).catch((error: unknown) => error);
      expect(outcome).toMatchObject({ code: "body-too-large" });
    }),
    { numRuns: 100 },
  );
});

test("any bytes at all are a form or a Problem, and never wait for more", async () => {
  const pieces = fc.oneof(
    fc.uint8Array({ maxLength: 50 }),
    fc.constantFrom(
      ...[
        "--xyz",
        "\r\n",
        "--",
        'Content-Disposition: form-data; name="file"',
        '; filename="a"',
        "Content-Type: application/octet-stream",
        "Content-Transfer-Encoding: base64",
        "\r\n\r\n",
      ].map(ascii),
    ),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(pieces, { maxLength: 20 }), async (chunks) => {
      const outcome = await receive(chunks).catch((error: unknown) => error);
      if (outcome instanceof Error) expect(outcome).toBeInstanceOf(Problem);
    }),
    { numRuns: 500 },
  );
  expect(await readdir(directory)).toEqual([]);
});

test("a file of a form that came at once is not copied out of it", async () => {
  const head = 'Content-Disposition: form-data; name="file"; filename="a.jpg"';
  const content = new Uint8Array(70_000).fill(13);
  const form = concat(ascii(`--xyz\r\n${head}\r\n\r\n`), content, ascii("\r\n--xyz--\r\n"));
  const { file } = await receiveAs([form], 2 ** 20, form.length);
  expect(file?.bytes).toEqual(content);
  expect(file?.bytes.buffer === form.buffer).toBe(true);
});
