import { expect, test } from "bun:test";
import { createRouteFinder } from "../../src/http/route-finder.ts";

const find = createRouteFinder([
  { method: "GET", path: "/" },
  { method: "GET", path: "/upload" },
  { method: "POST", path: "/upload" },
  { method: "OPTIONS", path: "/*" },
  { method: "GET", path: "/embeddings/:sha256" },
  { method: "GET", path: "/a.b/:x/c" },
]);

test("a path is found by its route, with all its methods", () => {
  expect(find("/upload")).toEqual({ template: "/upload", methods: ["GET", "POST"] });
});

test("a slash at the end makes no difference, but the root is its own", () => {
  expect(find("/upload/")?.template).toBe("/upload");
  expect(find("/")?.template).toBe("/");
  expect(find("/embeddings/x/")?.template).toBe("/embeddings/:sha256");
});

test("a parameter is one part of a path, whatever it holds", () => {
  expect(find("/embeddings/x")?.template).toBe("/embeddings/:sha256");
  expect(find("/embeddings/%2F:")?.template).toBe("/embeddings/:sha256");
  expect(find("/embeddings")).toBeUndefined();
  expect(find("/embeddings/x/y")).toBeUndefined();
});

test("what stands in a route stands for itself", () => {
  expect(find("/a.b/1/c")?.template).toBe("/a.b/:x/c");
  expect(find("/aXb/1/c")).toBeUndefined();
});

test("a path that is none is not found, though preflights are answered anywhere", () => {
  expect(find("/nothing")).toBeUndefined();
  expect(find("/*")).toBeUndefined();
});
