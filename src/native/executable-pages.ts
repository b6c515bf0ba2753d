/**
 * Gives back the memory in which the executable's embedded files were read. Bun maps them with its own
 * code, so that reading the native libraries once keeps 65 MB of them resident for good.
 */
import { closeSync, openSync, readSync } from "node:fs";
import type { Libc } from "./libc.ts";

/** Where the kernel says of each page, in eight bytes, where it is. */
const PAGEMAP_ENTRY_BYTES = 8;
/** Highest bits of a pagemap entry: "present", "swapped out", "as in its file". */
const PRESENT = 0x80;
const SWAPPED = 0x40;
const AS_IN_FILE = 0x20;

/** Where Bun's section of embedded files lies in memory. */
interface Section {
  readonly start: number;
  readonly bytes: number;
}

/**
 * Releases every page of the embedded files; whatever is read again comes from the executable. Nothing is
 * done where this cannot be told for certain: without `/proc/self/pagemap`, in an executable of another
 * layout, or if a page was written to, whose content would be lost.
 */
export function releaseEmbeddedPages(libc: Pick<Libc, "releasePages" | "pageBytes">): void {
  try {
    const section = findEmbeddedSection();
    if (section === undefined) return;
    // The section's first and last page may be shared with variables of the program.
    const first = Math.ceil(section.start / libc.pageBytes);
    const end = Math.floor((section.start + section.bytes) / libc.pageBytes);
    if (isWritten(first, end)) return;
    libc.releasePages(first * libc.pageBytes, (end - first) * libc.pageBytes);
  } catch {
    // It only saves memory.
  }
}

/** @see elf(5): `Elf64_Ehdr` and `Elf64_Shdr`, little-endian. */
function findEmbeddedSection(): Section | undefined {
  const file = openSync("/proc/self/exe", "r");
  try {
    const header = read(file, 0, 64);
    const isAtFixedAddress = header.getUint16(16, true) === 2;
    if (!isAtFixedAddress) return undefined;
    const entryBytes = header.getUint16(58, true);
    const count = header.getUint16(60, true);
    const sections = read(file, Number(header.getBigUint64(40, true)), entryBytes * count);
    const field = (section: number, offset: number): number =>
      Number(sections.getBigUint64(section * entryBytes + offset, true));
    const namesSection = header.getUint16(62, true);
    const names = read(file, field(namesSection, 24), field(namesSection, 32));
    for (let section = 0; section < count; section++) {
      const nameAt = sections.getUint32(section * entryBytes, true);
      if (textAt(names, nameAt) !== ".bun") continue;
      return { start: field(section, 16), bytes: field(section, 32) };
    }
    return undefined;
  } finally {
    closeSync(file);
  }
}

/** @see Linux, Documentation/admin-guide/mm/pagemap.rst: bits 63, 62 and 61. */
function isWritten(firstPage: number, endPage: number): boolean {
  const file = openSync("/proc/self/pagemap", "r");
  try {
    const position = firstPage * PAGEMAP_ENTRY_BYTES;
    const entries = read(file, position, (endPage - firstPage) * PAGEMAP_ENTRY_BYTES);
    for (let at = PAGEMAP_ENTRY_BYTES - 1; at < entries.byteLength; at += PAGEMAP_ENTRY_BYTES) {
      const flags = entries.getUint8(at);
      if ((flags & (PRESENT | SWAPPED)) !== 0 && (flags & AS_IN_FILE) === 0) return true;
    }
    return false;
  } finally {
    closeSync(file);
  }
}

function read(file: number, position: number, bytes: number): DataView {
  const content = new Uint8Array(bytes);
  if (readSync(file, content, 0, bytes, position) !== bytes) throw new Error("cut short");
  return new DataView(content.buffer);
}

function textAt(names: DataView, start: number): string {
  const bytes = new Uint8Array(names.buffer, start);
  return new TextDecoder().decode(bytes.subarray(0, bytes.indexOf(0)));
}
