/** A collector of traces: an HTTP server that takes OTLP as protobuf, or misbehaves. */
import { BinaryReader } from "@bufbuild/protobuf/wire";

/** A span as it arrived. */
export interface CollectedSpan {
  readonly traceId: string;
  readonly spanId: string;
  /** Empty for the root of a trace. */
  readonly parentSpanId: string;
  readonly name: string;
  /** 1 internal, 2 server, 3 client. */
  readonly kind: number;
  readonly startNs: bigint;
  readonly endNs: bigint;
  readonly attributes: Readonly<Record<string, string | number | boolean>>;
  /** 0 unset, 1 ok, 2 error. */
  readonly status: number;
  /** Attributes of what sent it. */
  readonly resource: Readonly<Record<string, string | number | boolean>>;
}

export interface Collector extends AsyncDisposable {
  readonly url: string;
  readonly spans: readonly CollectedSpan[];
  /** Paths and headers of every export so far. */
  readonly exports: readonly { readonly path: string; readonly headers: Headers }[];
  /** How exports are answered from now on. */
  answer(how: () => Response | Promise<Response>): void;
}

/** Starts a collector on the loopback address, which takes whatever comes. */
export function startCollector(): Collector {
  const spans: CollectedSpan[] = [];
  const exports: { path: string; headers: Headers }[] = [];
  let how: () => Response | Promise<Response> = () =>
    new Response(null, { headers: { "content-type": "application/x-protobuf" } });
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    idleTimeout: 0,
    async fetch(request) {
      const sent = new Uint8Array(await request.arrayBuffer());
      const isPacked = request.headers.get("content-encoding") === "gzip";
      const body = isPacked ? Bun.gunzipSync(sent) : sent;
      exports.push({ path: new URL(request.url).pathname, headers: request.headers });
      const response = await how();
      if (response.ok) spans.push(...readRequest(body));
      return response;
    },
  });
  return {
    url: server.url.origin,
    spans,
    exports,
    answer: (next) => {
      how = next;
    },
    [Symbol.asyncDispose]: () => server.stop(true),
  };
}

type Fields = ReadonlyMap<number, readonly (Uint8Array | bigint | number)[]>;

/** The fields of a message by their numbers (https://protobuf.dev/programming-guides/encoding/). */
function fieldsOf(bytes: Uint8Array): Fields {
  const fields = new Map<number, (Uint8Array | bigint | number)[]>();
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [number, wireType] = reader.tag();
    const value =
      wireType === 0
        ? BigInt(reader.int64())
        : wireType === 1
          ? BigInt(reader.fixed64())
          : wireType === 2
            ? reader.bytes()
            : reader.fixed32();
    fields.getOrInsertComputed(number, () => []).push(value);
  }
  return fields;
}

function messages(fields: Fields, number: number): Fields[] {
  return (fields.get(number) ?? []).map((one) => fieldsOf(asBytes(one)));
}

function asBytes(value: Uint8Array | bigint | number | undefined): Uint8Array {
  return value instanceof Uint8Array ? value : new Uint8Array();
}

function bytesAt(fields: Fields, number: number): Uint8Array {
  return asBytes(fields.get(number)?.[0]);
}

function textAt(fields: Fields, number: number): string {
  return new TextDecoder().decode(bytesAt(fields, number));
}

function numberAt(fields: Fields, number: number): bigint {
  return BigInt(String(fields.get(number)?.[0] ?? 0));
}

/** Numbers of fields: opentelemetry/proto/trace/v1/trace.proto. */
function readRequest(body: Uint8Array): CollectedSpan[] {
  return messages(fieldsOf(body), 1).flatMap((resourceSpans) => {
    const resource = attributesOf(messages(resourceSpans, 1)[0] ?? new Map(), 1);
    const spans = messages(resourceSpans, 2).flatMap((scopeSpans) => messages(scopeSpans, 2));
    return spans.map((span) => ({
      traceId: bytesAt(span, 1).toHex(),
      spanId: bytesAt(span, 2).toHex(),
      parentSpanId: bytesAt(span, 4).toHex(),
      name: textAt(span, 5),
      kind: Number(numberAt(span, 6)),
      startNs: numberAt(span, 7),
      endNs: numberAt(span, 8),
      attributes: attributesOf(span, 9),
      status: Number(numberAt(messages(span, 15)[0] ?? new Map(), 3)),
      resource,
    }));
  });
}

function attributesOf(fields: Fields, number: number) {
  const entries = messages(fields, number).map((pair) => {
    const value = messages(pair, 2)[0] ?? new Map();
    const [kind] = value.keys();
    const read =
      kind === 1
        ? textAt(value, 1)
        : kind === 2
          ? numberAt(value, 2) !== 0n
          : Number(numberAt(value, 3));
    return [textAt(pair, 1), read] as const;
  });
  return Object.fromEntries(entries);
}
