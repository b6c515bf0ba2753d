import type { Readers } from "../../src/http/readers.ts";

/** Readers that all do the same with a request. */
export function everyReader(read: () => Promise<unknown>): Readers {
  const reader = () => read;
  return {
    json: reader,
    jsonWithImage: reader,
    jsonWithTexts: reader,
    jsonWithImageAndTexts: reader,
    jsonWithInputs: read,
    form: reader,
    upload: reader,
  };
}
