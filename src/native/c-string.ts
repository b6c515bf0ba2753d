/** A string as C takes it: UTF-8, closed by a zero byte. */
export function cString(text: string): Uint8Array {
  return new TextEncoder().encode(`${text}\0`);
}
