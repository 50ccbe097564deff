import { randomUUID } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { realPorts } from "../../src/base/real/ports.js";
import { arrow } from "../../src/connectors/arrow-file.js";
import { jsonl } from "../../src/connectors/jsonl.js";
import { parquet } from "../../src/connectors/parquet.js";
import { FsStore } from "../../src/storage/fs-store.js";
import { MemoryStore } from "../../src/storage/memory-store.js";
import { S3Store } from "../../src/storage/s3-store.js";
import { startMinio } from "../servers/index.js";
import { sinkConformance } from "./sink.js";
import { filePlace } from "./sink-places.js";

const kinds = ["before", "half", "after"] as const;

for (const sink of [jsonl("out"), parquet("out"), arrow("out")]) {
  sinkConformance(
    `${sink.kind} in memory`,
    async () => ({ place: async () => filePlace(sink, new MemoryStore()), stop: async () => {} }),
    { kinds, pairs: sink.kind === "jsonl" },
  );

  if (sink.kind === "arrow") continue; // what it adds to the others is its encoding
  sinkConformance(
    `${sink.kind} in a folder`,
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

sinkConformance(
  "parquet on S3",
  async () => {
    const server = await startMinio();
    return {
      place: async () => filePlace(parquet("out"), new S3Store(server.bucket, randomUUID(), server, realPorts())),
      stop: () => server.stop(),
    };
  },
  { kinds },
);
