/**
 * Sink of Parquet files, one per parallel instance and checkpoint. The Arrow schema travels in the file's metadata, so
 * extension types come back as they were. Written with parquet-wasm (the Rust `parquet` crate).
 *
 * Rows are held as Arrow batches until the checkpoint; what a checkpoint covers must fit in memory.
 */
import { Table as ArrowTable, type RecordBatch, tableToIPC } from "apache-arrow";
import { Compression, Table, WriterPropertiesBuilder, writeParquet } from "parquet-wasm";
import type { Sink } from "../topology/endpoints.js";
import { fileSink } from "./file-writer.js";
import type { FileEncoder } from "./growing-file.js";

/** @param url a folder, or `s3://bucket/prefix`; a relative one is under the job's output root */
export function parquet(url: string): Sink {
  return fileSink("parquet", url, parquetEncoder);
}

function parquetEncoder(): FileEncoder {
  const batches: RecordBatch[] = [];
  return {
    add: (batch) => {
      batches.push(batch);
    },
    finish() {
      const stream = tableToIPC(new ArrowTable(batches), "stream");
      const properties = new WriterPropertiesBuilder().setCompression(Compression.ZSTD).build();
      return writeParquet(Table.fromIPCStream(stream), properties); // takes the table and the properties over
    },
  };
}
