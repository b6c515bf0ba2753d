import type { Readers } from "../../src/http/readers.ts";

/** Readers that all do the same with a request. */
export function everyReader(read: () => Promise<unknown>): Readers {
  return {
    json: read,
    jsonWithWrappedBase64: read,
    jsonWithTexts: read,
    jsonWithImageAndTexts: read,
    form: read,
    upload: read,
  };
}
