import { dlopen, FFIType, ptr } from "bun:ffi";
import { cString } from "./c-string.ts";

/** A small photo takes a fifth less time to decode than with libvips's 16, and a large one 6 MB more. */
export const stripRows = 64;

/**
 * How many rows libvips makes at a time, in the whole process. It hands each strip from one thread to another, which
 * for the 16 rows that it is built with costs a fifth of the decoding of a small photo; more than 128 leave the
 * processor's nearest caches. To be set before anything is decoded, and to one value only.
 *
 * Neither sharp nor libvips's operations have a name for it. It is the hidden command-line option
 * `--vips-fatstrip-height` (`libvips/iofuncs/init.c`), which programs offer by `vips_add_option_entries`.
 *
 * @param soname of the loaded libvips.
 * @returns whether it is set. A library that lacks the option decodes as it would have.
 */
export function setStripHeight(soname: string, rows: number): boolean {
  try {
    return parseOption(soname, `--vips-fatstrip-height=${rows}`);
  } catch {
    // No such library or symbol.
    return false;
  }
}

/** As a program does that takes libvips's options from its command line. */
function parseOption(soname: string, option: string): boolean {
  const { symbols, close } = dlopen(soname, {
    vips_add_option_entries: { args: [FFIType.ptr], returns: FFIType.void },
    g_option_group_new: {
      args: [FFIType.cstring, FFIType.cstring, FFIType.cstring, FFIType.ptr, FFIType.ptr],
      returns: FFIType.ptr,
    },
    g_option_context_new: { args: [FFIType.ptr], returns: FFIType.ptr },
    g_option_context_set_main_group: { args: [FFIType.ptr, FFIType.ptr], returns: FFIType.void },
    g_option_context_parse: {
      args: [FFIType.ptr, FFIType.ptr, FFIType.ptr, FFIType.ptr],
      returns: FFIType.bool,
    },
    g_option_context_free: { args: [FFIType.ptr], returns: FFIType.void },
  });
  try {
    const name = cString("vips");
    const group = symbols.g_option_group_new(name, name, name, null, null);
    symbols.vips_add_option_entries(group);
    const context = symbols.g_option_context_new(null);
    symbols.g_option_context_set_main_group(context, group);
    const words = [cString("imagesvc"), cString(option)];
    const argv = BigUint64Array.from([...words.map((word) => BigInt(ptr(word))), 0n]);
    const argvAt = BigUint64Array.of(BigInt(ptr(argv)));
    const argc = Int32Array.of(words.length);
    const isParsed = symbols.g_option_context_parse(context, argc, argvAt, null);
    symbols.g_option_context_free(context);
    // What is reached by address alone must still be here.
    return isParsed && argv.length > words.length;
  } finally {
    close();
  }
}
