/**
 * The lines of a stream of UTF-8, as they come, without their line breaks.
 *
 * @returns also the last one where no line break follows it.
 */
export async function* readLines(stream: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let pieces: string[] = [];
  for await (const bytes of stream) {
    const [first = "", ...others] = decoder.decode(bytes, { stream: true }).split("\n");
    pieces.push(first);
    for (const piece of others) {
      yield lineOf(pieces);
      pieces = [piece];
    }
  }
  pieces.push(decoder.decode());
  const last = lineOf(pieces);
  if (last !== "") yield last;
}

function lineOf(pieces: readonly string[]): string {
  const line = pieces.join("");
  return line.endsWith("\r") ? line.slice(0, -1) : line;
}
