/**
 * Sink of Arrow IPC files (the random-access format, also known as Feather V2), one per parallel instance and checkpoint:
 * pyarrow, DuckDB and Polars read them without a conversion. Not compressed: apache-arrow for JavaScript does not.
 *
 * Rows are held as Arrow batches until the checkpoint; what a checkpoint covers must fit in memory.
 */
import { type RecordBatch, Table, tableToIPC } from "apache-arrow";
import type { Sink } from "../topology/endpoints.js";
import { fileSink } from "./file-writer.js";
import type { FileEncoder } from "./growing-file.js";

/** @param url a folder, or `s3://bucket/prefix`; a relative one is under the job's output root */
export function arrow(url: string): Sink {
  return fileSink("arrow", url, arrowEncoder);
}

function arrowEncoder(): FileEncoder {
  const batches: RecordBatch[] = [];
  return {
    add: (batch) => {
      batches.push(batch);
    },
    finish: () => tableToIPC(new Table(batches), "file"),
  };
}
