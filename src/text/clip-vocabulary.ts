/** CLIP's byte-pair vocabulary, read from its list of merges. */

/** Two neighbours that become one token. */
type Pair = number;

/** Ids of tokens, and which neighbours merge. A merge that was learnt earlier has the smaller id. */
export interface ClipVocabulary {
  /** Id of each byte's symbol, [256]; plus {@link endOfWord} it is the byte at the end of a word. */
  readonly byteIds: Uint16Array;
  /** {@link pairOf} two neighbours → the token that they become. */
  readonly merges: ReadonlyMap<Pair, number>;
  readonly startToken: number;
  readonly endToken: number;
}

/** What is added to a byte's id where the byte ends a word. */
export const endOfWord = 256;

/** The key of two neighbours in a vocabulary's merges. */
export function pairOf(left: number, right: number): Pair {
  return left * 65_536 + right;
}

/**
 * Reads `merges.txt`: a header line, then one merge a line, its halves parted by a blank. Ids go to the
 * 256 byte symbols, to the same at the end of a word, to one merge after the other, and to the start and
 * the end token.
 *
 * @throws RangeError that names the first line whose halves are no tokens yet.
 * @see openai/CLIP, `clip/simple_tokenizer.py`, `SimpleTokenizer.__init__`.
 */
export function parseVocabulary(mergesText: string): ClipVocabulary {
  const symbols = byteSymbols();
  const ids = new Map<string, number>();
  for (const symbol of symbols.values()) ids.set(symbol, ids.size);
  for (const symbol of symbols.values()) ids.set(`${symbol}</w>`, ids.size);
  const merges = new Map<Pair, number>();
  for (const line of mergesText.trimEnd().split("\n").slice(1)) {
    const [left = "", right = ""] = line.split(" ");
    const [leftId, rightId] = [ids.get(left), ids.get(right)];
    if (leftId === undefined || rightId === undefined) {
      throw new RangeError(`the merge "${line.slice(0, 80)}" joins something that is no token`);
    }
    merges.set(pairOf(leftId, rightId), ids.size);
    ids.set(left + right, ids.size);
  }
  const byteIds = new Uint16Array(256);
  for (const [byte, symbol] of symbols) byteIds[byte] = ids.get(symbol) ?? 0;
  return { byteIds, merges, startToken: ids.size, endToken: ids.size + 1 };
}

/**
 * The character that stands for each byte, in the order of their ids: bytes that are printable in
 * Latin-1 stand for themselves, the others for the characters from U+0100 on.
 *
 * @see openai/CLIP, `clip/simple_tokenizer.py`, `bytes_to_unicode`.
 */
function byteSymbols(): ReadonlyMap<number, string> {
  const bytes = Array.from({ length: 256 }, (_, byte) => byte);
  const printable = bytes.filter(isPrintable);
  const others = bytes.filter((byte) => !isPrintable(byte));
  return new Map([
    ...printable.map((byte) => [byte, String.fromCharCode(byte)] as const),
    ...others.map((byte, index) => [byte, String.fromCharCode(256 + index)] as const),
  ]);
}

function isPrintable(byte: number): boolean {
  return (byte > 0x20 && byte < 0x7f) || (byte > 0xa0 && byte !== 0xad);
}
