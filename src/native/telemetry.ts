import { CString, dlopen, FFIType } from "bun:ffi";
import { cString } from "./c-string.ts";

const NAME = "ORT_DISABLE_TELEMETRY";

/**
 * Tells onnxruntime to send nothing home. It reads the variable from C's environment when its library
 * is loaded, and assigning to `process.env` does not reach C's under Bun: so this must run first, best
 * on the main thread before there are others, for C's environment has no lock that readers take.
 *
 * @throws Error if the C library refuses.
 */
export function disableOrtTelemetry(): void {
  const { symbols, close } = dlopen("libc.so.6", {
    getenv: { args: [FFIType.cstring], returns: FFIType.pointer },
    setenv: { args: [FFIType.cstring, FFIType.cstring, FFIType.int], returns: FFIType.int },
  });
  try {
    const name = cString(NAME);
    const current = symbols.getenv(name);
    if (current !== null && new CString(current).toString() === "1") return;
    if (symbols.setenv(name, cString("1"), 1) !== 0) {
      throw new Error(`the C library could not set ${NAME}`);
    }
  } finally {
    close();
  }
}
