import { expect, test } from "bun:test";
import {
  asMarkdown,
  figurePlaces,
  figureText,
  findingRow,
  findingsHead,
  findingsOf,
  tableHead,
  tableRow,
  withFigure,
} from "../bench/report.ts";

const finding = { what: "speed", measured: "40", reference: "43", compared: "0.93" };
const document = [
  "# Figures",
  "<!-- figure:speed -->",
  "old",
  "<!-- /figure:speed -->",
  "by hand",
  "<!-- figure:size -->",
  "<!-- /figure:size -->",
  "",
].join("\n");

test("a finding says whether what is wanted is so, and nothing where nothing is wanted", () => {
  expect(findingRow({ ...finding, wanted: "at least 0.9", isMet: true })).toBe(
    "| speed | 40 | 43 | 0.93 | at least 0.9 | met |",
  );
  expect(findingRow({ ...finding, wanted: "at least 1", isMet: false })).toEndWith(
    "| **missed** |",
  );
  expect(findingRow(finding)).toBe("| speed | 40 | 43 | 0.93 |  |  |");
});

test("printed lines become a sentence, lists, and tables with empty lines around them", () => {
  const lines = ["24 clients", "one", "two", ...tableHead(["a", "b"]), tableRow(["1", "2"]), "end"];
  expect(asMarkdown(lines)).toBe(
    "24 clients\n\n- one\n- two\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n- end",
  );
});

test("two tables that follow each other stay two", () => {
  const lines = [...tableHead(["a"]), tableRow(["1"]), ...findingsHead, findingRow(finding)];
  expect(asMarkdown(lines)).toContain("| 1 |\n\n| what |");
});

test("a figure goes into its own place, and everything else stays", () => {
  expect(figurePlaces(document)).toEqual(["speed", "size"]);
  const changed = withFigure(document, "speed", "new");
  expect(figureText(changed, "speed")).toBe("new");
  expect(changed).toBe(document.replace("old", "\nnew\n"));
  expect(withFigure(changed, "speed", "new")).toBe(changed);
  expect(figureText(withFigure(document, "size", "$& 3"), "size")).toBe("$& 3");
});

test("a figure without a place changes nothing", () => {
  expect(withFigure(document, "colour", "new")).toBe(document);
  expect(figureText(document, "colour")).toBeUndefined();
});

test("a summary has the findings of all tables, and rows of no other table", () => {
  const other = [...tableHead(["a", "b"]), tableRow(["1", "2"])];
  const row = findingRow(finding);
  const text = [...findingsHead, row, "", ...other, "", ...findingsHead, row].join("\n");
  expect(findingsOf(text)).toBe([...findingsHead, row, row].join("\n"));
});
