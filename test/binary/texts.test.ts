/** Texts in the executable, which unpacks the vocabulary that it carries. */
import { expect, test } from "bun:test";
import { defaultModel } from "../support/default-model.ts";
import { serveReady } from "../support/executable.ts";

test("the executable turns a text into torch's vector", async () => {
  const [golden] = defaultModel.golden?.synthetic.textStarts ?? [];
  if (golden === undefined) throw new Error("the synthetic model has a golden text");
  const { text, expected, allowed } = golden;
  await using service = await serveReady();
  const response = await fetch(new URL("/embed-text?normalize=true", service.at), {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ text }),
  });
  const { vector }: { readonly vector: readonly number[] } = JSON.parse(await response.text());
  for (const [index, value] of expected.entries()) {
    expect(Math.abs((vector[index] ?? Number.NaN) - value)).toBeLessThan(allowed);
  }
});
