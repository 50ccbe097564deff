/** One frame of each kind with known content: what the files under `test/golden/frames` are made from. */
import type { RecordBatch } from "apache-arrow";
import { batchFromRows, rowsOf } from "../../../src/types/batches.js";
import { arrowSchema, type Columns, t } from "../../../src/types/columns.js";
import { encodeBatch, SchemaSender } from "../../../src/wire/arrow.js";
import * as exchange from "../../../src/wire/exchange-frames.js";
import * as frames from "../../../src/wire/frames.js";

export interface GoldenFrame {
  readonly title: string;
  readonly bytes: Uint8Array;
  readonly header: Readonly<Record<string, unknown>>;
  /** Rows of the payload, and the frame that spells its schema out where this one does not. */
  readonly rows?: readonly unknown[];
  readonly schemaFrom?: string;
}

const words = { id: t.int64, text: t.optional(t.utf8) };
const WORDS = batchFromRows(words, [
  { id: 1n, text: "mill" },
  { id: 2n, text: null },
]);

const pages = {
  ref: t.objectRef,
  skewed: t.bool,
  boxes: t.list(t.struct({ x: t.float32, text: t.optional(t.utf8) })),
  scores: t.optional(t.list(t.float64)),
  pixels: t.binary,
  readMs: t.timestamp,
};
const ref = (name: string) => ({
  uri: `file:///${name}`,
  offset: 0n,
  sizeBytes: -1n,
  sha256: "",
  mediaType: "image/png",
});
const PAGES = batchFromRows(pages, [
  { ref: ref("a.png"), skewed: false, boxes: [], scores: null, pixels: Uint8Array.of(), readMs: 0 },
  {
    ref: ref("b.png"),
    skewed: true,
    boxes: [
      { x: 1.5, text: "Rechnung Nº 7" },
      { x: -2, text: null },
    ],
    scores: [0.25, 0.5],
    pixels: Uint8Array.of(0, 255, 16),
    readMs: 1_700_000_000_123,
  },
  { ref: ref("c.png"), skewed: true, boxes: [{ x: 0, text: "" }], scores: [], pixels: Uint8Array.of(1), readMs: -1 },
]);

/** The example of the W3C recommendation. */
const TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const onChannel = { channel: "ocr-0.words-sink-0", attempt: 3 };
const words0 = new SchemaSender(arrowSchema(words));
const pages0 = new SchemaSender(arrowSchema(pages));

function golden<H extends object>(
  title: string,
  frame: { encode(header: H, payload?: Uint8Array[]): Uint8Array },
  header: H,
  columns?: Columns,
  batch?: RecordBatch,
): GoldenFrame {
  const bytes = frame.encode(header, batch === undefined ? [] : encodeBatch(batch));
  const base = { title, bytes, header: header as Readonly<Record<string, unknown>> };
  return columns === undefined || batch === undefined ? base : { ...base, rows: rowsOf(columns, batch as never) };
}

const load: frames.LoadReport = {
  service: "recognise",
  instance: "recognise-1",
  sequence: 2n ** 53n + 1n, // does not fit a double
  subject: "mr.default.job1.service.recognise.instance.recognise-1.request",
  state: "READY",
  queuedRows: 12,
  runningRows: 8,
  rowMs: 15.25,
  reason: "",
  code: "",
  enteredMs: 1_700_000_000_123n,
};

const request = {
  id: "r-1",
  client: "ocr-0",
  service: "recognise",
  instance: "recognise-1",
  attempt: 3,
  timeoutMs: 30_000,
  crashes: 0,
  bucket: "48x320",
  rows: 2,
  rowIds: Uint8Array.from({ length: 32 }, (_, i) => i),
  traceparent: TRACEPARENT,
};

const outcome = {
  id: "r-1",
  instance: "recognise-1",
  code: "",
  message: "",
  rejectedRows: [],
  load,
  retryAfterMs: 0,
  repeatedRows: 1,
  traceparent: TRACEPARENT,
};
const { schemaId, schema } = words0.next();
const spelt = { schemaId, schema };
const named = { schemaId, schema: null };

/** By file name without its ending. */
export const GOLDEN: Readonly<Record<string, GoldenFrame>> = {
  data: golden(
    "data: the first frame of a channel, two rows of (id int64, text utf8 or null)",
    frames.dataFrame,
    { ...onChannel, sequence: 0n, rows: 2, barriers: 0n, traceparent: "", ...spelt },
    words,
    WORDS,
  ),
  "data-next": {
    ...golden(
      "data: the second frame of the channel names the schema; one row, the second of the two",
      frames.dataFrame,
      { ...onChannel, sequence: 1n, rows: 1, barriers: 1n, traceparent: TRACEPARENT, ...named },
      words,
      WORDS.slice(1, 2),
    ),
    schemaFrom: "data",
  },
  "data-nested": golden(
    "data: object references, lists of structs, binary; a slice of a larger batch",
    frames.dataFrame,
    { ...onChannel, sequence: 2n ** 62n, rows: 2, barriers: 2n, traceparent: "", ...pages0.next() },
    pages,
    PAGES.slice(1, 3),
  ),
  "data-empty": {
    ...golden(
      "data: no rows",
      frames.dataFrame,
      { ...onChannel, sequence: 2n, rows: 0, barriers: 1n, traceparent: "", ...named },
      words,
      WORDS.slice(0, 0),
    ),
    schemaFrom: "data",
  },
  barrier: golden("barrier", frames.barrierFrame, { ...onChannel, checkpoint: 7n, sequence: 41n, index: 3n }),
  watermark: golden("watermark: before 1970", frames.watermarkFrame, { ...onChannel, sequence: 41n, timestampMs: -1n }),
  end: golden("end: after 42 data frames", frames.endFrame, { ...onChannel, sequence: 42n, barriers: 4n }),
  credit: golden("credit", frames.creditFrame, {
    ...onChannel,
    acknowledged: 10n,
    bytesGranted: 2n ** 40n,
    framesGranted: 74n,
    arrived: 12n,
    barriers: 4n,
    ended: false,
  }),
  nack: golden("nack: frames 5 and 6 are missing", frames.nackFrame, { ...onChannel, from: 5n, to: 7n }),
  poll: golden("poll: after 42 data frames", frames.pollFrame, { ...onChannel, sequence: 42n }),
  cancel: golden("cancel: two requests", frames.cancelFrame, { client: "ocr-0", requests: ["r-1", "r-2"] }),
  ask: golden("ask: one row", frames.askFrame, {
    client: "ocr-0",
    service: "recognise",
    rowIds: Uint8Array.from({ length: 16 }, (_, i) => i),
    round: 7,
  }),
  holding: golden("holding: one row", frames.holdingFrame, {
    service: "recognise",
    instance: "recognise-1",
    rowIds: Uint8Array.from({ length: 16 }, (_, i) => 16 + i),
    round: 7,
  }),
  release: golden("release: none", frames.releaseFrame, {
    service: "recognise",
    rowIds: new Uint8Array(),
    requests: ["host-1-42"],
  }),
  request: golden("request: two rows", frames.requestFrame, { ...request, ...spelt }, words, WORDS),
  "load-report": golden("load report of a ready instance", frames.loadReportFrame, load),
  answer: {
    ...golden(
      "answer: two rows, the second of them refused",
      frames.answerFrame,
      {
        ...outcome,
        status: "OK" as const,
        rejectedRows: [{ row: 1, code: "MILL_IMAGE_INVALID", message: "no text" }],
        rows: 2,
        ...named,
      },
      words,
      WORDS,
    ),
    schemaFrom: "data",
  },
  "answer-failed": golden("answer: the handler failed, there is no payload", frames.answerFrame, {
    ...outcome,
    status: "FAILED" as const,
    code: "MILL_SERVICE_FAILED",
    message: "out of memory",
    rows: 0,
    ...named,
    retryAfterMs: 1_500,
    repeatedRows: 0,
  }),
  "exchange-entry": golden(
    "entry of a durable exchange: the second and last of a checkpoint, two rows",
    exchange.exchangeEntryFrame,
    {
      writer: "pages-0",
      checkpoint: 7n,
      index: 1,
      last: true,
      previous: 5n,
      traceparent: TRACEPARENT,
      more: false,
      end: false,
      rows: 2,
      ...spelt,
      content: null,
    },
    words,
    WORDS,
  ),
  "exchange-entry-beside": golden(
    "entry of a durable exchange whose row lies beside the log",
    exchange.exchangeEntryFrame,
    {
      writer: "pages-0",
      checkpoint: 7n,
      index: 2,
      last: true,
      previous: 5n,
      more: false,
      end: false,
      rows: 1,
      ...spelt,
      traceparent: "",
      content: { uri: `s3://store/jobs/job/content/${"ab".repeat(32)}`, sizeBytes: 2n ** 24n, sha256: "ab".repeat(32) },
    },
  ),
  "exchange-pending": golden(
    "what a writer of a durable exchange has pending: one entry for the second of two partitions",
    exchange.exchangePendingFrame,
    {
      writer: "pages-0",
      checkpoint: 7n,
      ended: false,
      partitions: [
        { previous: 5n, published: 2n ** 40n },
        { previous: 7n, published: 0n },
      ],
      entries: [{ partition: 1, size: 524_288 }],
    },
  ),
  "exchange-position": golden("position of a reader of a durable exchange", exchange.exchangePositionFrame, {
    next: 2n ** 40n + 1n,
    writers: [
      { writer: "pages-0", checkpoint: 7n, index: 1, last: true, ended: false },
      { writer: "pages-1", checkpoint: 0n, index: -1, last: true, ended: false },
    ],
    seed: 2n,
    seedBatches: 3,
    incarnation: "2026-11-21T10:46:38.000000001Z",
  }),
};
