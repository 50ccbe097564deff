/**
 * The transactional half that every file sink shares: encoded bytes are staged under a name with the attempt in it
 * and published under one without, so that publishing again is the same act.
 *
 *     staged     _staging/<attempt>-<operator>-<subtask>-<checkpoint>.<extension>
 *     published  <operator>-<subtask>-<checkpoint>.<extension>
 *
 * A reader of the folder who ignores names that start with `_`, as Spark, DuckDB and Arrow do, never sees a partial file.
 */
import type { RecordBatch } from "apache-arrow";
import type { SinkContext, SinkWriter } from "../topology/endpoints.js";

export interface FileFormat {
  readonly extension: string;
  /** Takes batches as they come; what is kept until `finish` is the format's choice. */
  encoder(context: SinkContext): FileEncoder;
}

export interface FileEncoder {
  add(batch: RecordBatch): void;
  /** The whole file; the encoder starts anew. */
  finish(): Uint8Array;
}

export function fileWriter(format: FileFormat, context: SinkContext): SinkWriter {
  const { operator, subtask, attempt, output } = context;
  const encoder = format.encoder(context);
  /** Put and not yet published. */
  const staged = new Set<string>();
  let rows = 0;
  return {
    write(batch) {
      encoder.add(batch);
      rows += batch.numRows;
    },
    async prepare(checkpoint) {
      const name = `${operator}-${subtask}-${checkpoint}.${format.extension}`;
      const prepared = { from: `_staging/${attempt}-${name}`, to: name, rows };
      if (rows > 0) {
        staged.add(prepared.from); // before the put: one that fails may have left something
        await output.put(prepared.from, encoder.finish());
      }
      rows = 0;
      return new TextEncoder().encode(JSON.stringify(prepared));
    },
    async commit(bytes) {
      const prepared = JSON.parse(new TextDecoder().decode(bytes)) as { from: string; to: string; rows: number };
      if (prepared.rows > 0) await output.move(prepared.from, prepared.to);
      staged.delete(prepared.from);
    },
    async abort() {
      for (const name of staged) await output.delete(name);
    },
  };
}
