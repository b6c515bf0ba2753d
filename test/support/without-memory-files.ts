/**
 * `bun without-memory-files.ts PROGRAM [ARGUMENT…]`: becomes the program, under a system call filter that
 * refuses memfd_create, as a hardened host or container has it.
 *
 * @see seccomp(2), "Filters"; linux/filter.h.
 */
import { dlopen, ptr } from "bun:ffi";
import { cString } from "../../src/native/c-string.ts";

const PR_SET_NO_NEW_PRIVS = 38;
const PR_SET_SECCOMP = 22;
const SECCOMP_MODE_FILTER = 2;
const MEMFD_CREATE = process.arch === "arm64" ? 279 : 319;
const EPERM = 1;

/** Each instruction: code, jump if true, jump if false, operand. */
const filter = [
  [0x20, 0, 0, 0], // load the number of the system call
  [0x15, 0, 1, MEMFD_CREATE],
  [0x06, 0, 0, 0x00050000 | EPERM], // refuse it
  [0x06, 0, 0, 0x7fff0000], // allow it
] as const;

const { symbols } = dlopen("libc.so.6", {
  prctl: { args: ["i32", "u64", "u64", "u64", "u64"], returns: "i32" },
  execvp: { args: ["cstring", "ptr"], returns: "i32" },
});

function applyFilter(): void {
  const program = new DataView(new ArrayBuffer(filter.length * 8));
  for (const [index, [code, ifTrue, ifFalse, operand]] of filter.entries()) {
    program.setUint16(index * 8, code, true);
    program.setUint8(index * 8 + 2, ifTrue);
    program.setUint8(index * 8 + 3, ifFalse);
    program.setUint32(index * 8 + 4, operand, true);
  }
  const header = new DataView(new ArrayBuffer(16));
  header.setUint16(0, filter.length, true);
  header.setBigUint64(8, BigInt(ptr(program.buffer)), true);
  const isApplied =
    symbols.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) === 0 &&
    symbols.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ptr(header.buffer), 0, 0) === 0;
  if (!isApplied) throw new Error("the kernel takes no system call filter");
}

function become(command: readonly string[]): never {
  const texts = command.map(cString);
  const list = new BigUint64Array([...texts.map((text) => BigInt(ptr(text))), 0n]);
  symbols.execvp(texts[0] ?? cString(""), ptr(list));
  throw new Error(`${command[0]} could not be run`);
}

if (import.meta.main) {
  applyFilter();
  become(process.argv.slice(2));
}
