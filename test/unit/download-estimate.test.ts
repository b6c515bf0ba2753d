import { expect, test } from "bun:test";
import { createDownloadEstimate } from "../../src/models/download-estimate.ts";

test("the time left follows from what came since the first byte of this process", () => {
  let now = 1000;
  const estimate = createDownloadEstimate(() => now);
  const at = (ms: number, receivedBytes: number) => {
    now = ms;
    return estimate({ receivedBytes, totalBytes: 1000 });
  };
  expect(at(1000, 500)).toEqual({ percent: 50, leftS: undefined });
  expect(at(3000, 600)).toEqual({ percent: 60, leftS: 8 });
  expect(at(4000, 999)).toEqual({ percent: 99, leftS: 1 });
  expect(at(5000, 1000)).toEqual({ percent: 100, leftS: 0 });
});

test("a download that is begun anew is reckoned anew", () => {
  let now = 0;
  const estimate = createDownloadEstimate(() => now);
  estimate({ receivedBytes: 900, totalBytes: 1000 });
  now = 1000;
  expect(estimate({ receivedBytes: 0, totalBytes: 1000 })).toEqual({
    percent: 0,
    leftS: undefined,
  });
  now = 2000;
  expect(estimate({ receivedBytes: 100, totalBytes: 1000 }).leftS).toBe(9);
});
