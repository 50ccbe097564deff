/**
 * The transactional half that every file sink shares: encoded bytes are staged under a name with the attempt in it
 * and published under one without, so that publishing again is the same act.
 *
 *     staged     _staging/<attempt>-<operator>-<subtask>-<checkpoint>.<extension>
 *     published  <operator>-<subtask>-<checkpoint>.<extension>
 *
 * A reader of the folder who ignores names that start with `_`, as Spark, DuckDB and Arrow do, never sees a partial file.
 *
 * Invariants (with W1 to W4 of `topology/endpoints.ts`):
 *   F1  A published file is whole, and was named by a committed manifest.
 *   F2  A checkpoint without rows stages and publishes nothing.
 *   F3  A staged file is deleted only by a higher attempt of the same operator and subtask, after that has published all
 *       that its manifest names. A zombie may stage more after that; it is never published.
 */
import type { RecordBatch } from "apache-arrow";
import { MillraceError } from "../base/errors.js";
import type { OutputFolder, Sink, SinkContext, SinkWriter } from "../topology/endpoints.js";
import type { Columns } from "../types/columns.js";

/** Takes the batches of one file as they come. What is kept until `finish` is the format's choice. */
export interface FileEncoder {
  add(batch: RecordBatch): void;
  /** The whole file; called once, after the last `add`. */
  finish(): Uint8Array;
}

/** What a snapshot keeps of a file, as JSON. */
interface Prepared {
  readonly from: string;
  readonly to: string;
}

const STAGING = "_staging/";
const NOTHING = new Uint8Array();

/**
 * @param kind the format's name, and the extension of its files
 * @param url a folder, or `s3://bucket/prefix`; a relative one is under the job's output root
 */
export function fileSink(kind: string, url: string, encoder: (columns: Columns) => FileEncoder): Sink {
  return {
    kind,
    describe: `${kind} ${url}`,
    url,
    check() {},
    open: async (context) => fileWriter(kind, encoder, context),
  };
}

function fileWriter(extension: string, encoderOf: (columns: Columns) => FileEncoder, context: SinkContext): SinkWriter {
  const { operator, subtask, attempt, output } = context;
  /** Of the checkpoint that is being filled, from its first row on. */
  let encoder: FileEncoder | undefined;
  const nameOf = (checkpoint: bigint) => `${operator}-${subtask}-${checkpoint}.${extension}`;
  return {
    write(batch) {
      if (batch.numRows === 0) return;
      encoder ??= encoderOf(context.columns);
      encoder.add(batch);
    },
    prepare(checkpoint) {
      const cut = encoder;
      encoder = undefined;
      const to = nameOf(checkpoint);
      return cut === undefined
        ? Promise.resolve(NOTHING)
        : stage(output, cut, { from: `${STAGING}${attempt}-${to}`, to });
    },
    publishes: nameOf,
    async commit(bytes) {
      if (bytes.byteLength > 0) await publish(output, decode(bytes));
    },
    async recover(pending) {
      for (const bytes of pending) if (bytes.byteLength > 0) await publish(output, decode(bytes));
      // What is still staged after that is named by no manifest.
      for (const name of await output.list(STAGING)) {
        const by = attemptOf(name, context, extension);
        if (by !== undefined && by < attempt) await output.delete(name);
      }
    },
    async abort() {
      encoder = undefined;
    },
  };
}

async function stage(output: OutputFolder, encoder: FileEncoder, prepared: Prepared): Promise<Uint8Array> {
  await Promise.resolve(); // the cut is made; encoding may wait until whoever cuts has cut everything
  await output.put(prepared.from, encoder.finish());
  return new TextEncoder().encode(JSON.stringify(prepared));
}

async function publish(output: OutputFolder, { from, to }: Prepared): Promise<void> {
  await output.move(from, to);
}

function decode(bytes: Uint8Array): Prepared {
  try {
    const { from, to } = JSON.parse(new TextDecoder().decode(bytes)) as Prepared;
    if (typeof from === "string" && typeof to === "string") return { from, to };
    throw new TypeError("it names no file");
  } catch (cause) {
    throw MillraceError.from(cause, "MILL_INTERNAL", "what a file sink's snapshot holds cannot be read");
  }
}

/** The attempt that staged `name`, if it was one of this operator and subtask. */
function attemptOf(name: string, { operator, subtask }: SinkContext, extension: string): number | undefined {
  const rest = `-${operator}-${subtask}-`;
  const match = /^(\d+)(-.*-)\d+\.([a-z]+)$/.exec(name.slice(STAGING.length));
  return match !== null && match[2] === rest && match[3] === extension ? Number(match[1]) : undefined;
}
