import { randomUUID } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { realPorts } from "../../src/base/real/ports.js";
import { arrow } from "../../src/connectors/arrow-file.js";
import { jsonl, jsonlInPieces } from "../../src/connectors/jsonl.js";
import { parquet } from "../../src/connectors/parquet.js";
import { FsStore } from "../../src/storage/fs-store.js";
import { MemoryStore } from "../../src/storage/memory-store.js";
import { S3Store } from "../../src/storage/s3-store.js";
import { startMinio } from "../servers/index.js";
import { sinkConformance } from "./sink.js";
import { filePlace } from "./sink-places.js";

const kinds = ["before", "half", "after"] as const;
/** Less than a row: every file is staged while it is filled. */
const PIECE_BYTES = 16;

const sinks = [
  ["jsonl", jsonl("out")],
  ["jsonl in pieces", jsonlInPieces("out", PIECE_BYTES)],
  ["parquet", parquet("out")],
  ["arrow", arrow("out")],
] as const;

for (const [name, sink] of sinks) {
  sinkConformance(
    `${name} in memory`,
    async () => ({ place: async () => filePlace(sink, new MemoryStore()), stop: async () => {} }),
    { kinds, pairs: sink.kind === "jsonl" },
  );

  if (sink.kind === "arrow") continue; // what it adds to the others is its encoding
  sinkConformance(
    `${name} in a folder`,
    async () => {
      const folder = await mkdtemp(join(tmpdir(), "millrace-sink-"));
      return {
        place: async () => filePlace(sink, new FsStore(join(folder, randomUUID()))),
        stop: () => rm(folder, { recursive: true }),
      };
    },
    { kinds },
  );
}

for (const [name, sink] of sinks.filter(([each]) => ["parquet", "jsonl in pieces"].includes(each))) {
  sinkConformance(
    `${name} on S3`,
    async () => {
      const server = await startMinio();
      return {
        place: async () => filePlace(sink, new S3Store(server.bucket, randomUUID(), server, realPorts())),
        stop: () => server.stop(),
      };
    },
    { kinds },
  );
}
