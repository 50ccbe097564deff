/** A receiver of OTLP over HTTP: keeps the spans and metrics that it is sent. It reads protobuf by itself: only the fields it asks for. */
import assert from "node:assert/strict";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { gunzipSync } from "node:zlib";

type Fields = ReadonlyMap<number, readonly (Buffer | bigint)[]>;

export interface ReceivedSpan {
  readonly traceId: string;
  readonly spanId: string;
  /** Empty: it is a root. */
  readonly parentId: string;
  readonly name: string;
  readonly kind: number;
  readonly startMs: number;
  readonly endMs: number;
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly links: readonly { readonly traceId: string; readonly spanId: string }[];
  readonly error: boolean;
  readonly resource: Readonly<Record<string, unknown>>;
}

export interface ReceivedMetric {
  readonly name: string;
  readonly unit: string;
  readonly kind: "counter" | "gauge" | "histogram";
  /** Of all points: attributes, and the sum of a counter or gauge, or the count of a histogram. */
  readonly points: readonly { readonly attributes: Readonly<Record<string, unknown>>; readonly value: number }[];
  readonly resource: Readonly<Record<string, unknown>>;
}

export class OtlpReceiver {
  readonly spans: ReceivedSpan[] = [];
  readonly metrics: ReceivedMetric[] = [];
  readonly headers: IncomingMessage["headers"][] = [];
  #changed: (() => void)[] = [];
  #server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const body = Buffer.concat(chunks);
      this.headers.push(request.headers);
      this.#take(request.url ?? "", request.headers["content-encoding"] === "gzip" ? gunzipSync(body) : body);
      response.writeHead(200, { "content-type": "application/x-protobuf" }).end();
      for (const wake of this.#changed.splice(0)) wake();
    });
  });

  static async start(): Promise<OtlpReceiver> {
    const receiver = new OtlpReceiver();
    await new Promise<void>((resolve) => receiver.#server.listen(0, "127.0.0.1", resolve));
    return receiver;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  /** Looks again at whatever comes, until `find` has found something. */
  async until<T>(what: string, find: () => T | undefined, withinMs = 15_000): Promise<T> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<"late">((resolve) => {
      timer = setTimeout(() => resolve("late"), withinMs);
    });
    try {
      for (;;) {
        const found = find();
        if (found !== undefined) return found;
        const change = new Promise<"changed">((resolve) => this.#changed.push(() => resolve("changed")));
        if ((await Promise.race([change, late])) === "late") {
          const names = [...new Set(this.spans.map(({ name }) => name))];
          assert.fail(`waited ${withinMs} ms for ${what}; spans: ${names}; metrics: ${[...this.metricNames]}`);
        }
      }
    } finally {
      clearTimeout(timer);
    }
  }

  get metricNames(): ReadonlySet<string> {
    return new Set(this.metrics.map(({ name }) => name));
  }

  #take(path: string, body: Buffer): void {
    for (const group of messages(fieldsOf(body), 1)) {
      const resource = attributesOf(messages(group, 1)[0] ?? new Map(), 1);
      for (const scope of messages(group, 2)) {
        for (const one of messages(scope, 2)) {
          if (path.endsWith("/v1/traces")) this.spans.push(spanOf(one, resource));
          else if (path.endsWith("/v1/metrics")) this.metrics.push(metricOf(one, resource));
        }
      }
    }
  }
}

function spanOf(fields: Fields, resource: ReceivedSpan["resource"]): ReceivedSpan {
  return {
    traceId: hex(fields, 1),
    spanId: hex(fields, 2),
    parentId: hex(fields, 4),
    name: text(fields, 5),
    kind: Number(number(fields, 6)),
    startMs: Number(number(fields, 7)) / 1e6,
    endMs: Number(number(fields, 8)) / 1e6,
    attributes: attributesOf(fields, 9),
    links: messages(fields, 13).map((link) => ({ traceId: hex(link, 1), spanId: hex(link, 2) })),
    error: messages(fields, 15).some((status) => number(status, 3) === 2n),
    resource,
  };
}

function metricOf(fields: Fields, resource: ReceivedMetric["resource"]): ReceivedMetric {
  const kinds = [
    ["gauge", 5],
    ["counter", 7],
    ["histogram", 9],
  ] as const;
  const [kind, at] =
    kinds.find(([, field]) => fields.has(field)) ?? assert.fail(`a metric ${text(fields, 1)} of no kind`);
  const points = messages(messages(fields, at)[0]!, 1).map((point) => ({
    attributes: attributesOf(point, kind === "histogram" ? 9 : 7),
    value: kind === "histogram" ? Number(fixed(point, 4)) : double(point, 4),
  }));
  return { name: text(fields, 1), unit: text(fields, 3), kind, points, resource };
}

function attributesOf(fields: Fields, at: number): Record<string, unknown> {
  return Object.fromEntries(messages(fields, at).map((pair) => [text(pair, 1), anyValue(messages(pair, 2)[0]!)]));
}

function anyValue(value: Fields): unknown {
  if (value.has(1)) return text(value, 1);
  if (value.has(2)) return number(value, 2) === 1n;
  if (value.has(3)) return Number(number(value, 3));
  return value.has(4) ? double(value, 4) : undefined;
}

const text = (fields: Fields, at: number) => bytes(fields, at).toString("utf8");
const hex = (fields: Fields, at: number) => bytes(fields, at).toString("hex");
const messages = (fields: Fields, at: number) => (fields.get(at) ?? []).map((value) => fieldsOf(value as Buffer));
const double = (fields: Fields, at: number) => (fields.has(at) ? bytes(fields, at).readDoubleLE() : 0);
const fixed = (fields: Fields, at: number) => (fields.has(at) ? bytes(fields, at).readBigUInt64LE() : 0n);

function bytes(fields: Fields, at: number): Buffer {
  return (fields.get(at)?.[0] ?? Buffer.alloc(0)) as Buffer;
}

/** A varint, or eight fixed bytes. */
function number(fields: Fields, at: number): bigint {
  const value = fields.get(at)?.[0] ?? 0n;
  return typeof value === "bigint" ? value : value.readBigUInt64LE();
}

/** By field number: varints as numbers, all else as bytes. */
function fieldsOf(message: Buffer): Fields {
  const fields = new Map<number, (Buffer | bigint)[]>();
  let at = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = message[at++]!;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  };
  const take = (length: number) => {
    at += length;
    return message.subarray(at - length, at);
  };
  while (at < message.length) {
    const key = Number(varint());
    const wire = key & 7;
    const value = wire === 0 ? varint() : take(wire === 1 ? 8 : wire === 5 ? 4 : Number(varint()));
    const all = fields.get(key >> 3) ?? [];
    fields.set(key >> 3, [...all, value]);
  }
  return fields;
}
