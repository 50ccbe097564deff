import { realPorts } from "../../src/base/real/ports.js";
import { S3Store } from "../../src/storage/s3-store.js";
import { startMinio } from "../servers/index.js";
import { objectStoreConformance } from "./object-store.js";

objectStoreConformance("s3", async () => {
  const server = await startMinio();
  return {
    open: (place) => new S3Store(server.bucket, place, server, realPorts()),
    stop: () => server.stop(),
  };
});
