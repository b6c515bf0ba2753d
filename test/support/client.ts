/** What HTTP tests send, and how they read the answers. */
import { expect } from "bun:test";
import { type ProblemCode, problems } from "../../src/errors.ts";
import type { TestService } from "./service.ts";

/** An error answer's body. */
export interface ProblemAnswer {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly code: ProblemCode;
  readonly request_id: string;
  readonly origin_status?: number;
  readonly errors?: readonly { readonly pointer: string; readonly message: string }[];
}

/** Every key that a 200 with a vector may have; which of them it has, depends on the request. */
export interface VectorAnswer {
  readonly message: string;
  readonly status: string;
  readonly embedding: readonly number[];
  readonly vector: readonly number[];
  readonly saved_as: string;
  readonly path: string;
  readonly original_filename: string;
  readonly source_url: string;
  readonly model: string;
  readonly dimensions: number;
}

type Served = Pick<TestService, "url">;
type Headers = Readonly<Record<string, string>>;

export function send(service: Served, path: string, init: RequestInit = {}): Promise<Response> {
  return fetch(`${service.url.origin}${path}`, { redirect: "manual", ...init });
}

export function postJson(
  service: Served,
  path: string,
  body: unknown,
  headers: Headers = {},
): Promise<Response> {
  return send(service, path, {
    method: "POST",
    headers: { "Content-Type": "application/json", ...headers },
    body: typeof body === "string" ? body : JSON.stringify(body),
  });
}

export function postUrlencoded(
  service: Served,
  path: string,
  fields: Readonly<Record<string, string>>,
): Promise<Response> {
  return send(service, path, { method: "POST", body: new URLSearchParams(fields) });
}

export function postMultipart(
  service: Served,
  path: string,
  parts: Readonly<Record<string, string | File>>,
  init: RequestInit = {},
): Promise<Response> {
  const body = new FormData();
  for (const [name, value] of Object.entries(parts)) body.append(name, value);
  return send(service, path, { method: "POST", body, ...init });
}

/** Sends a picture to `/vectorize-image-upload`. */
export function postFile(
  service: Served,
  bytes: Uint8Array<ArrayBuffer>,
  options: { readonly name?: string; readonly query?: string; readonly init?: RequestInit } = {},
): Promise<Response> {
  const { name = "image.png", query = "", init = {} } = options;
  return postMultipart(
    service,
    `/vectorize-image-upload${query}`,
    { file: new File([bytes], name) },
    init,
  );
}

/** Reads an answer that must be a 200 with a vector. */
export async function answerOf(response: Response): Promise<VectorAnswer> {
  const text = await response.text();
  expect({ status: response.status, text }).toMatchObject({ status: 200 });
  return JSON.parse(text);
}

export function base64Of(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("base64");
}

/**
 * Reads an answer that must be the given problem, in every respect that all problems share.
 *
 * @returns its body.
 */
export async function expectProblem(response: Response, code: ProblemCode): Promise<ProblemAnswer> {
  const text = await response.text();
  expect(text).toStartWith("{");
  const body: ProblemAnswer = JSON.parse(text);
  expect(body).toMatchObject({
    type: `/problems/${code}`,
    title: problems[code].title,
    status: problems[code].status,
    code,
  });
  expect(response.status).toBe(problems[code].status);
  expect(response.headers.get("content-type")).toBe("application/problem+json");
  expect(body.request_id).toBe(response.headers.get("x-request-id") ?? "missing");
  expect(body.detail).toMatch(/^\S.*\.$/);
  const extra = Object.keys(body).slice(6);
  expect(["errors", "origin_status"]).toEqual(expect.arrayContaining(extra));
  expect(Object.keys(body).slice(0, 6)).toEqual([
    "type",
    "title",
    "status",
    "detail",
    "code",
    "request_id",
  ]);
  expect(text).not.toMatch(/\/(tmp|work|home|src|node_modules)\/|\.ts\b|\\n|nvapi-/);
  return body;
}

/** Waits until a condition holds; the test's own timeout ends it otherwise. */
export async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await holds())) await Bun.sleep(5);
}
