import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FsStore } from "../../src/storage/fs-store.js";
import { objectStoreConformance } from "./object-store.js";

objectStoreConformance("fs", async () => {
  const folder = await mkdtemp(join(tmpdir(), "millrace-store-"));
  return {
    open: (place) => new FsStore(join(folder, place)),
    stop: () => rm(folder, { recursive: true }),
  };
});
