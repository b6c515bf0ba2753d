import { expect, test } from "bun:test";
import fc from "fast-check";
import { diffLines } from "../../src/cli/line-diff.ts";
import { environmentOf, lastValue, maskSecrets } from "../../src/cli/old-unit.ts";

test.each([
  [`Environment="NVIDIA_API_KEY=nvapi-1"`, { NVIDIA_API_KEY: "nvapi-1" }],
  [`Environment=NVIDIA_API_KEY=nvapi-1`, { NVIDIA_API_KEY: "nvapi-1" }],
  [`Environment=NVIDIA_API_KEY="nvapi-1"`, { NVIDIA_API_KEY: "nvapi-1" }],
  [` Environment = 'A=b c' D="e=f" "G=%%h\\"i"`, { A: "b c", D: "e=f", G: '%h"i' }],
  [`Environment=A=1 \\\n  B=2`, { A: "1", B: "2" }],
  [`Environment=A=1\nEnvironment=A=2`, { A: "2" }],
  [`Environment=A=1\nEnvironment=\nEnvironment=B=2`, { B: "2" }],
  [`#Environment=A=1\nEnvironmentFile=/etc/a=b`, {}],
])("the variables of %j", (unit, variables) => {
  expect(Object.fromEntries(environmentOf(unit))).toEqual(variables);
});

test("the last value of a line counts", () => {
  expect(lastValue("User=a\nUser = b\nUserX=c\n", "User")).toBe("b");
  expect(lastValue("User=a\n", "Group")).toBeUndefined();
});

test.each([
  [`Environment="NVIDIA_API_KEY=hunter2" PORT=1`, "Environment=NVIDIA_API_KEY=*** PORT=***"],
  ["# Environment=NVIDIA_API_KEY=hunter2", "# Environment=NVIDIA_API_KEY=***"],
  ["ExecStart=/bin/a --nvidia-api-key hunter2 b", "ExecStart=/bin/a --nvidia-api-key *** b"],
  [`ExecStart=/bin/env HF_TOKEN="hunter2 x" a`, "ExecStart=/bin/env HF_TOKEN=*** a"],
  ["ExecStart=/bin/a nvapi-hunter2", "ExecStart=/bin/a ***"],
  ["ExecStart=/bin/a http://me:hunter2@proxy:1", "ExecStart=/bin/a http://***@proxy:1"],
  ["SetCredential=a:hunter2", "SetCredential=a:***"],
  ["LoadCredential=nvidia_api_key:/etc/key", "LoadCredential=nvidia_api_key:/etc/key"],
  ["WorkingDirectory=/srv/imagesvc", "WorkingDirectory=/srv/imagesvc"],
])("%j is shown as %j", (line, shown) => {
  expect(maskSecrets(line)).toBe(shown);
});

test("a diff shows the lines of both texts, and changes as few as it can", () => {
  const signs = diffLines(["a", "b", "c"], ["b", "x", "c"]).map(({ sign, line }) => sign + line);
  expect(signs).toEqual(["-a", " b", "+x", " c"]);
});

test("either text can be read from its diff", () => {
  const lines = fc.array(fc.constantFrom("", "a", "b", "c"), { maxLength: 12 });
  fc.assert(
    fc.property(lines, lines, (before, after) => {
      const diff = diffLines(before, after);
      const side = (other: string) =>
        diff.filter(({ sign }) => sign !== other).map(({ line }) => line);
      expect(side("+")).toEqual(before);
      expect(side("-")).toEqual(after);
    }),
  );
});
